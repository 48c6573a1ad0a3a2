"""A rank: the model, its part of the cache, and the others, as long as they are all there."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from inference_backend.engine.build import full_attention
from inference_backend.kv.readiness import Readiness
from inference_backend.kv.store import KeptLayers, KvStore
from inference_backend.model.transformer import Transformer
from inference_backend.parallel.batch import Batch
from inference_backend.parallel.channel import Channel
from inference_backend.parallel.forward import Computed, Computing, OnLayer, Pass
from inference_backend.parallel.layouts import Layout, Replicated, Split, kept_layers
from inference_backend.parallel.owners import KvLayout, LayerOwners
from inference_backend.parallel.staging import Staging
from inference_backend.sparse.attention import SparseAttention
from inference_backend.sparse.indexer import Indexer


@dataclass(frozen=True, slots=True, kw_only=True)
class RankOptions:
    """Equal on all ranks.

    Attributes:
        ahead: see ``schedule.plan_pass``.
        staged_tokens: longest context that fits into the staging area.
        timeout_seconds: how long an operation between ranks may take before one counts as lost.
        has_draft: the first rank keeps the draft head's layer. A hand-over needs it: the decode
            side has that layer.
        host_slots: pages of the host tier; 0: there is none.
        shares_device: the ranks are on one GPU.
    """

    layout: KvLayout = KvLayout.SPLIT
    ahead: int = 1
    num_pages: int
    page_size: int
    staged_tokens: int
    index_topk: int = 512
    timeout_seconds: float = 30.0
    has_draft: bool = False
    host_slots: int = 0
    shares_device: bool = False


class Rank:
    """Computes its share of every pass. ``join`` first."""

    def __init__(
        self,
        model: Transformer,
        indexer: Indexer | None,
        store: KvStore,
        readiness: Readiness,
        options: RankOptions,
    ) -> None:
        self.store, self.options = store, options
        self._model, self._indexer, self._readiness = model, indexer, readiness
        self.channel: Channel | None = None
        self.generation = 0
        self.staging: Staging | None = None
        self._computing: Computing | None = None

    def owners(self, ranks: int) -> LayerOwners:
        return LayerOwners(self._model.shape.num_layers, ranks, self.options.has_draft)

    def owner(self, layer: int) -> int:
        """Which rank stores a layer (the first, where all do), as numbered in the channel."""
        assert self.channel is not None
        return self.owner_among(self.channel.ranks, layer)

    def owner_among(self, ranks: int, layer: int) -> int:
        """The same for so many ranks."""
        if self.options.layout is KvLayout.REPLICATED or layer == self._model.shape.num_layers:
            return 0
        return self.owners(ranks).owner(layer)

    def stores(self, layer: int) -> bool:
        """Whether this rank is the one that answers for a layer."""
        return self.channel is not None and self.owner(layer) == self.channel.rank

    def place(self, layer: int) -> int:
        """Where a layer that is stored here lies in the store."""
        assert self.channel is not None
        if self.options.layout is KvLayout.REPLICATED:
            return layer
        return self.owners(self.channel.ranks).place(layer)

    def join(self, channel: Channel, generation: int = 0) -> None:
        """The ranks of ``channel`` compute from now on, beginning with an empty cache."""
        owners, layout = self.owners(channel.ranks), self.options.layout
        self.channel, self.generation = channel, generation
        self.store.allocate(kept_layers(layout, owners, channel.rank))
        chosen = self._layout(owners, channel)
        full = full_attention(chosen.view)
        sparse = None
        if self._indexer is not None:
            topk = self.options.index_topk
            sparse = SparseAttention(chosen.view, full, self._indexer, topk, self._readiness)
        self._computing = Computing(self._model, channel, chosen, full, sparse)

    def _layout(self, owners: LayerOwners, channel: Channel) -> Layout:
        options, store = self.options, self.store
        if options.layout is KvLayout.REPLICATED:
            return Replicated(store, owners, self._readiness)
        index_dim = None if self._indexer is None else self._indexer.shape.dim
        pages = min(-(-options.staged_tokens // options.page_size), options.num_pages)
        weight = self._model.norm
        self.staging = Staging(
            self._model.shape, pages, options.page_size, weight.device, weight.dtype, index_dim
        )
        return Split(store, self.staging, owners, channel, self._readiness, options.ahead)

    @torch.inference_mode()
    def compute(
        self, batch: Batch, on_layer: OnLayer, check: Callable[[], None] = lambda: None
    ) -> Computed:
        """``check``: see ``forward.Pass.run``.

        Raises:
            RanksLost: another rank does not answer.
        """
        assert self._computing is not None, "a rank computes nothing before it has joined"
        return Pass(self._computing, batch, on_layer).run(check)

    def leave(self) -> None:
        """Breaks the connections: whoever waits for this rank hears of it."""
        if self.channel is not None:
            self.channel.close()
        self.channel = self._computing = None

    @property
    def stored_bytes(self) -> int:
        """Of the cache's tensors, staging included."""
        stored = sum(part.blocks.nbytes for part in self.store.parts)
        return stored + (0 if self.staging is None else self.staging.nbytes)


def make_store(model: Transformer, indexer: Indexer | None, options: RankOptions) -> KvStore:
    """A store without layers; ``Rank.join`` gives it those that are kept here."""
    weight = model.norm
    return KvStore(
        model.shape,
        options.num_pages,
        options.page_size,
        weight.device,
        weight.dtype,
        None if indexer is None else indexer.shape.dim,
        KeptLayers(0, 0, has_tails=False),
    )
