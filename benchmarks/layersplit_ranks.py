"""The ranks of the LayerSplit benchmark: what a case is, and how each rank runs it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import msgspec
import torch
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # exported, untyped
from torch.distributed.distributed_c10d import PrefixStore, Store

from inference_backend.engine.options import DTYPES, EngineOptions, settle
from inference_backend.hicache.readiness import LoadReadiness, LoadSync
from inference_backend.model.packed import pack
from inference_backend.model.shape import LlamaShape
from inference_backend.model.transformer import Transformer, build_transformer
from inference_backend.model.weights import expected_shapes
from inference_backend.parallel.leader import Leader, make_leader
from inference_backend.parallel.meeting import Caller
from inference_backend.parallel.owners import KvLayout
from inference_backend.parallel.rank import Rank, RankOptions, make_store
from inference_backend.parallel.worker import Worker
from inference_backend.sparse.index_file import prepared
from inference_backend.sparse.indexer import Indexer, default_index_shape

HOST = "127.0.0.1"
SMOLLM2 = LlamaShape(
    name="smollm2-135m shape, random weights",
    hidden_size=576,
    intermediate_size=1536,
    num_layers=30,
    num_heads=9,
    num_kv_heads=3,
    head_dim=64,
    vocab_size=4096,  # the output matrix is used for one row a sequence
    max_context=131_072,
    rope_theta=100_000.0,
    rms_norm_eps=1e-5,
    tie_embeddings=True,
    bos_token_id=None,
    eos_token_ids=(0,),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Equal for all ranks and cases; comes to each rank as one argument."""

    ranks: int
    port: int
    device: str
    dtype: str
    threads: int
    layers: int
    page_size: int
    topk: int
    one_device: bool
    cases: list["Case"]

    @property
    def shape(self) -> LlamaShape:
        return replace(SMOLLM2, num_layers=self.layers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One group of ranks: ``batch`` sequences of ``context`` tokens, ``new`` of them to compute.

    Every case is run in several rounds, so that a busy minute of the machine does not meet one
    layout only.
    """

    layout: KvLayout
    ahead: int
    context: int
    new: int
    batch: int
    pages: int
    round: int

    @property
    def name(self) -> str:
        if self.layout is KvLayout.REPLICATED:
            return "replicated"
        return "split" if self.ahead else "split, at the layer's turn"


def use_device(setting: Setting, name: int) -> torch.device:
    """The rank's own card, unless they share one. NVLink multicast stays off."""
    torch.set_num_threads(setting.threads)
    if setting.device == "cpu":
        return torch.device("cpu")
    os.environ["NCCL_NVLS_ENABLE"] = "0"
    torch.cuda.set_device(0 if setting.one_device else name)
    return torch.device("cuda", torch.cuda.current_device())


def make_model(setting: Setting, device: torch.device) -> tuple[Transformer, Indexer]:
    """The same random weights on every rank."""
    source = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(size, generator=source) * 0.02 if len(size) > 1 else torch.ones(size)
        for name, size in expected_shapes(setting.shape).items()
    }
    dtype = DTYPES[setting.dtype]
    model = build_transformer(setting.shape, tensors, device, dtype)
    torch.manual_seed(0)
    indexer = prepared(Indexer(setting.shape, default_index_shape(setting.shape)), device, dtype)
    return model, indexer


def rank_options(setting: Setting, case: Case) -> RankOptions:
    return RankOptions(
        layout=case.layout,
        ahead=case.ahead,
        num_pages=case.pages,
        page_size=setting.page_size,
        staged_tokens=case.context + setting.page_size,
        index_topk=setting.topk,
        timeout_seconds=300.0,
        shares_device=setting.one_device,
    )


def engine_options(setting: Setting, case: Case) -> EngineOptions:
    options = EngineOptions(
        device=setting.device,
        dtype=setting.dtype,
        num_drafts=0,
        page_size=setting.page_size,
        kv_tokens=case.pages * setting.page_size,
        max_running=case.batch,
        chunk_tokens=case.batch * (case.new + setting.page_size),
        attention="sparse",
        index_topk=setting.topk,
    )
    return settle(options, setting.shape)


def store_of(store: Store, case: Case) -> Store:
    return PrefixStore(f"{case.name}-{case.context}-{case.round}", store)


@contextmanager
def leading(
    setting: Setting, case: Case, store: Store, model: Transformer, indexer: Indexer
) -> Iterator[Leader]:
    own = store_of(store, case)
    leader = make_leader(
        model,
        None,
        engine_options(setting, case),
        rank_options(setting, case),
        indexer,
        own,
        Caller(own, lambda _: True, patience_seconds=300.0),
        setting.ranks,
    )
    try:
        yield leader
    finally:
        leader.stop()


def follow(setting: Setting, name: int) -> None:
    """Another rank: every case in turn."""
    device = use_device(setting, name)
    store = TCPStore(HOST, setting.port, is_master=False, timeout=timedelta(seconds=300))
    model, indexer = make_model(setting, device)
    pack(model)
    for case in setting.cases:
        options = rank_options(setting, case)
        readiness = LoadReadiness(LoadSync.FULL)
        kv = make_store(model, indexer, options)
        rank = Rank(model, indexer, kv, readiness, options)
        worker = Worker(store_of(store, case), name, rank, None)
        worker.on_layer = Noise(rank)
        worker.run()
        del kv, rank, worker
        if device.type == "cuda":
            torch.cuda.empty_cache()


class Noise:
    """Fills the cache once, in the pass that warms up: what is found there was never computed.

    The time of a pass does not depend on what the numbers are, only on that they differ.
    """

    def __init__(self, rank: Rank) -> None:
        self._rank, self._is_done = rank, False

    def __call__(self, _layer: int) -> None:
        if not self._is_done:
            self._is_done = True
            for part in self._rank.store.parts:
                part.data.normal_()


def read_setting(text: str) -> Setting:
    return msgspec.json.decode(text, type=Setting)


if __name__ == "__main__":
    import sys

    follow(read_setting(sys.argv[1]), int(sys.argv[2]))
