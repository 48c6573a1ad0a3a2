"""Ranks as threads of one process, over real gloo connections: the engine of the first, and others.

As processes they run the same code (``rank_worker``); threads start at once.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor
from torch.distributed import HashStore  # type: ignore[attr-defined]  # exported, untyped
from torch.distributed.distributed_c10d import Store

from inference_backend.engine.decode_inputs import PrefillInputs
from inference_backend.engine.engine import Engine
from inference_backend.engine.options import EngineOptions, settle
from inference_backend.engine.scheduler import Chunk
from inference_backend.hicache.readiness import LoadReadiness
from inference_backend.kv.sanitizer import SanitizerMode
from inference_backend.model.packed import pack
from inference_backend.model.shape import LlamaShape
from inference_backend.parallel.leader import Leader, make_leader
from inference_backend.parallel.meeting import Caller
from inference_backend.parallel.owners import KvLayout
from inference_backend.parallel.rank import Rank, RankOptions, make_store
from inference_backend.parallel.rank_host import RankHost
from inference_backend.parallel.worker import Worker
from tests.fakes.tiny_indexer import tiny_indexer
from tests.fakes.tiny_model import SHAPE, copied_head, tiny_model

PAGE_SIZE = 4


@dataclass(frozen=True, kw_only=True)
class Case:
    """What distinguishes one group of ranks from another."""

    ranks: int = 2
    layout: KvLayout = KvLayout.SPLIT
    ahead: int = 1
    sparse: bool = False
    shape: LlamaShape = SHAPE
    topk: int = 40
    pages: int = 160
    chunk_tokens: int = 64
    num_drafts: int = 0
    host_pages: int = 0
    sanitizer: SanitizerMode = SanitizerMode.RECORD
    timeout_seconds: float = 20.0
    staged_tokens: int = 256

    def options(self) -> RankOptions:
        return RankOptions(
            layout=self.layout,
            ahead=self.ahead,
            num_pages=self.pages,
            page_size=PAGE_SIZE,
            staged_tokens=self.staged_tokens,
            index_topk=self.topk,
            timeout_seconds=self.timeout_seconds,
            has_draft=self.num_drafts > 0,
            host_slots=self.host_pages,
        )

    def engine_options(self) -> EngineOptions:
        options = EngineOptions(
            device="cpu",
            dtype="float32",
            num_drafts=self.num_drafts,
            page_size=PAGE_SIZE,
            kv_tokens=self.pages * PAGE_SIZE,
            max_running=8,
            chunk_tokens=self.chunk_tokens,
            draft_vocabulary=None,
            sanitizer=self.sanitizer,
            attention="sparse" if self.sparse else "dense",
            index_topk=self.topk,
            host_kv_tokens=self.host_pages * PAGE_SIZE,
        )
        return settle(options, self.shape)


@dataclass
class Ranks:
    """A running group."""

    leader: Leader
    store: Store
    workers: list[Worker] = field(default_factory=list)

    @property
    def engine(self) -> Engine:
        return self.leader.engine

    @property
    def all(self) -> list[Rank]:
        return [self.leader.rank, *(worker.rank for worker in self.workers)]


def make_worker(case: Case, store: Store, name: int) -> Worker:
    """As in a process of its own."""
    model = tiny_model(case.shape)
    pack(model)
    indexer = tiny_indexer(case.shape) if case.sparse else None
    options, readiness = case.options(), LoadReadiness(case.engine_options().load_sync)
    kv = make_store(model, indexer, options)
    host = RankHost(kv, case.host_pages, readiness) if case.host_pages else None
    return Worker(store, name, Rank(model, indexer, kv, readiness, options), host)


def start_leader(case: Case, store: Store, is_alive: Callable[[int], bool]) -> Leader:
    model = tiny_model(case.shape)
    head = copied_head(model) if case.num_drafts else None
    indexer = tiny_indexer(case.shape) if case.sparse else None
    caller = Caller(store, is_alive, patience_seconds=20.0)
    return make_leader(
        model, head, case.engine_options(), case.options(), indexer, store, caller, case.ranks
    )


@contextmanager
def running(case: Case) -> Iterator[Ranks]:
    store = HashStore()
    workers = [make_worker(case, store, name) for name in range(1, case.ranks)]
    threads = [threading.Thread(target=worker.run, daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    leader = start_leader(case, store, lambda name: threads[name - 1].is_alive())
    try:
        yield Ranks(leader, store, workers)
    finally:
        leader.stop()
        if leader.engine.host is not None:
            leader.engine.host.close()
        for thread in threads:
            thread.join(20.0)
        assert not any(thread.is_alive() for thread in threads), "a rank does not end"


def listen(engine: Engine) -> list[Tensor]:
    """From now on: the logits of every row that the engine computes, pass by pass."""
    found: list[Tensor] = []
    inner = engine.runner.run_prompts

    def run_prompts(inputs: PrefillInputs, positions: Tensor, chunks: list[Chunk]) -> Tensor:
        hidden = inner(inputs, positions, chunks)
        found.append(engine.runner.model.logits(hidden).clone())
        return hidden

    engine.runner.run_prompts = run_prompts
    return found
