"""The first rank: an engine whose prompts are computed by all ranks."""

import logging
from collections.abc import Callable
from dataclasses import replace

from torch import Tensor
from torch.distributed.distributed_c10d import Store

from inference_backend.engine.build import assemble_around, full_attention
from inference_backend.engine.decode_inputs import PrefillInputs
from inference_backend.engine.engine import Engine
from inference_backend.engine.options import EngineOptions
from inference_backend.engine.scheduler import Chunk
from inference_backend.engine.snapshot import RankNumbers
from inference_backend.errors import RanksLost
from inference_backend.hicache.load import HostLoad
from inference_backend.hicache.readiness import LoadReadiness
from inference_backend.kv.attention import AttentionBackend
from inference_backend.kv.group import Group
from inference_backend.kv.ready_attention import ReadyAttention
from inference_backend.kv.store import KvStore
from inference_backend.model.transformer import Attend, Transformer
from inference_backend.parallel.batch import (
    Batch,
    Load,
    Regroup,
    Stop,
    load_of,
    part_of,
    tokens_of,
)
from inference_backend.parallel.channel import Channel
from inference_backend.parallel.meeting import Caller
from inference_backend.parallel.rank import Rank, RankOptions, make_store
from inference_backend.parallel.worker import make_channel
from inference_backend.sparse.indexer import Indexer
from inference_backend.speculative.head_file import LoadedHead

log = logging.getLogger(__name__)
MAX_MEETINGS = 5


class DraftAttention:
    """Attention of the draft head's layer, which the first rank has for itself.

    The target's layers are nowhere complete: nobody may ask for them.
    """

    def __init__(self, store: KvStore, inner: AttentionBackend) -> None:
        self._store, self._inner = store, inner

    def bind(self, group: Group) -> Attend:
        attend, store = self._inner.bind(group), self._store

        def attend_last(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            assert layer == store.num_layers, "the target's layers are computed by all ranks"
            return attend(len(store.blocks) - 1, query, key, value)

        return attend_last


class Leader:
    """Plans with the engine, tells the others, computes its share.

    Attributes:
        engine: computes prompts only; decoding is another engine's.
        on_regroup: called before the ranks meet anew: until then, everybody's cache is what it was.
    """

    def __init__(
        self, engine: Engine, rank: Rank, caller: Caller, store: Store, members: list[int]
    ) -> None:
        self.engine, self.rank, self.members = engine, rank, members
        self._caller, self._store, self._started = caller, store, len(members)
        self._generation = 0
        self._moves: list[Load | tuple[int, int]] = []
        self.on_regroup: Callable[[], None] = lambda: None
        engine.computes_prompts_only, engine.ranks = True, self.numbers
        engine.max_context = min(engine.max_context, rank.options.staged_tokens)
        engine.runner.run_prompts = self._run
        engine.on_ranks_lost = self._regroup
        if engine.host is not None:
            engine.host.on_save, engine.host.on_load = self._saved, self._loading

    def numbers(self) -> RankNumbers:
        """Who died while nothing was computed does not count, though the others do not know yet."""
        left = [name for name in self.members if name == 0 or self._caller.is_alive(name)]
        return RankNumbers(len(left), self._started)

    def stop(self) -> None:
        """The other ranks end."""
        self._caller.tell(Stop())
        self.rank.leave()

    def _saved(self, page: int, slot: int) -> None:
        self._moves.append((page, slot))

    def _loading(self, load: HostLoad) -> None:
        self._moves.append(load_of(load))

    def _run(self, inputs: PrefillInputs, _positions: Tensor, chunks: list[Chunk]) -> Tensor:
        """See ``engine.runner.RunPrompts``."""
        runner, size = self.engine.runner, self.rank.options.page_size
        parts = [part_of(chunk, size, is_checked=runner.is_checked) for chunk in chunks]
        moves, self._moves = self._moves, []
        batch = Batch(tokens_of(chunks), parts, moves)
        self._caller.tell(batch)

        def on_layer(layer: int) -> None:
            if runner.on_layer is not None:
                runner.on_layer(layer, chunks)

        computed = self.rank.compute(batch, on_layer)
        for group, flag in zip(inputs.groups, computed.flags, strict=True):
            if group.flags is not None:
                group.flags.bitwise_or_(flag)
        return computed.hidden

    def _regroup(self) -> None:
        """Those that are left meet, and begin with an empty cache.

        Raises:
            RanksLost: they do not manage to.
        """
        self._moves.clear()
        self.on_regroup()
        for _ in range(MAX_MEETINGS):
            self.rank.leave()
            self._generation += 1
            self._caller.tell(Regroup(self._generation))
            self.members = self._caller.meet(self._generation, self.members)
            try:
                self.rank.join(self._connect(), self._generation)
            except RanksLost as error:
                log.warning("another rank was lost: %s", error)
                continue
            log.warning("%d ranks go on", len(self.members))
            if self.engine.host is not None:
                self.engine.host.restart()
            return
        raise RanksLost("the ranks that are left do not find one another")

    def _connect(self) -> Channel:
        return make_channel(self._store, self._generation, self.members, 0, self.rank)


def make_leader(
    model: Transformer,
    head: LoadedHead | None,
    options: EngineOptions,
    parallel: RankOptions,
    indexer: Indexer | None,
    store: Store,
    caller: Caller,
    ranks: int,
) -> Leader:
    """Waits for the others. ``options`` must be settled, and agree with ``parallel``.

    Raises:
        RanksLost: a rank is missing.
    """
    readiness = LoadReadiness(options.load_sync)
    kv = make_store(model, indexer, parallel)
    rank = Rank(model, indexer, kv, readiness, parallel)
    members = caller.meet(0, range(ranks))
    if len(members) < ranks:
        missing = sorted(set(range(ranks)) - set(members))
        raise RanksLost(f"these ranks did not come: {missing}")
    rank.join(make_channel(store, 0, members, 0, rank))
    attention = DraftAttention(kv, ReadyAttention(full_attention(kv), readiness))
    # There is no decoding here that could be captured.
    plain = replace(options, cuda_graphs=False)
    engine = assemble_around(model, head, plain, kv, attention, readiness)
    return Leader(engine, rank, caller, store, members)
