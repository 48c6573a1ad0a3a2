"""Attention over the keys that the indexer chooses, in torch operations.

Works in CUDA graphs: on a GPU no size depends on what the tensors hold.
"""

from torch import Tensor
from torch.nn import functional

from inference_backend.kv.attention import AttentionBackend
from inference_backend.kv.group import Group
from inference_backend.kv.page_check import page_check
from inference_backend.kv.readiness import Readiness
from inference_backend.kv.store import KvStore
from inference_backend.model.transformer import Attend
from inference_backend.sparse.indexer import Indexer, index_scores
from inference_backend.sparse.select import Chosen, as_mask, choose

GATHER_WIDTH = 16
"""Up to so many tokens a sequence, the chosen keys are fetched one by one; beyond (prompts), all
are fetched once and the others masked."""


class SparseAttention:
    """The draft head's layer, and contexts of at most ``topk`` tokens, have full attention.

    Args:
        full: attention for those.
        topk: keys that a token attends to, itself included.
        readiness: asked before a layer's index keys, and before its keys and values, are read.
    """

    def __init__(
        self,
        store: KvStore,
        full: AttentionBackend,
        indexer: Indexer,
        topk: int,
        readiness: Readiness,
    ) -> None:
        assert store.index is not None
        self.store, self.full, self.indexer, self.topk = store, full, indexer, topk
        self.readiness = readiness

    def bind(self, group: Group) -> Attend:
        store, readiness = self.store, self.readiness
        full, some = self.full.bind(group), BoundSparse(self, group)

        def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            if layer < store.num_layers:
                some.write_index(layer, key)
                if some.is_sparse:
                    readiness.before_index(layer)
                    chosen = some.choose(layer, query)
                    readiness.before_kv(layer)
                    return some.attend(layer, query, key, value, chosen)
            readiness.before_kv(layer)
            return full(layer, query, key, value)

        return attend


class BoundSparse:
    """The layers' steps for one group.

    A layer lies in the store under its own number, unless ``choose`` is told another ``place``.
    """

    def __init__(self, attention: SparseAttention, group: Group) -> None:
        store = self._store = attention.store
        assert store.index is not None
        self._index, self._indexer, self._topk = store.index, attention.indexer, attention.topk
        size, table = store.page_size, group.page_table
        if not table.is_cuda:  # asking a GPU would wait for it
            table = table[:, : -(-(int(group.first.max()) + group.width) // size)]
        self._table, self._count, self._width = table, table.shape[0], group.width
        self.is_sparse = table.shape[1] * size > attention.topk
        positions = group.positions()
        self._rows = positions.view(-1, group.width)
        self._pages, self._offsets = group.pages(positions, size), positions % size
        self._turns = attention.indexer.turns(positions)
        self._index_check, self._check = page_check(self._index, group), page_check(store, group)

    def write_index(self, layer: int, key: Tensor) -> None:
        keys = self._indexer.layer(layer).index_keys(key, self._turns)
        self._store.write_index(layer, self._pages, self._offsets, keys)
        self._index_check.wrote(layer)

    def choose(self, layer: int, query: Tensor, place: int | None = None) -> Chosen:
        """Keys for every row: positions ``[B, width, topk]``."""
        place = layer if place is None else place
        queries, weights = self._indexer.layer(layer).index_queries(query, self._turns)
        self._index_check.before(place)
        keys = self._index.data[place].index_select(0, self._table.reshape(-1))
        shape = (self._count, self._width)
        scores = index_scores(
            queries.view(*shape, *queries.shape[1:]),
            weights.view(*shape, -1),
            keys.view(self._count, -1, keys.shape[-1]),
        )
        return choose(scores, self._rows, self._topk)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, chosen: Chosen
    ) -> Tensor:
        """``query [B * width, heads, head_dim]`` over the chosen keys."""
        self._store.write(layer, self._pages, self._offsets, key, value)
        self._check.wrote(layer)
        self._check.before(layer)
        one_by_one = self._width <= GATHER_WIDTH
        return (self._fetched if one_by_one else self._masked)(layer, query, chosen)

    def _fetched(self, layer: int, query: Tensor, chosen: Chosen) -> Tensor:
        size, stored = self._store.page_size, self._store.data[layer]
        flat = chosen.positions.flatten(1)
        pages, offsets = self._table.gather(1, flat // size), flat % size
        rows, topk = self._count * self._width, chosen.positions.shape[-1]
        # [B, width * topk, kv_heads, head_dim] -> [B * width, kv_heads, topk, head_dim]
        keys, values = (
            stored[pages, part, offsets].view(rows, topk, *stored.shape[3:]).transpose(1, 2)
            for part in (0, 1)
        )
        kv_heads = keys.shape[1]
        grouped = query.view(rows, kv_heads, -1, query.shape[-1])
        mask = chosen.is_real.view(rows, 1, 1, topk)
        attended = functional.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask)
        return attended.reshape(query.shape)

    def _masked(self, layer: int, query: Tensor, chosen: Chosen) -> Tensor:
        stored, count, width = self._store.data[layer], self._count, self._width
        gathered = stored.index_select(0, self._table.reshape(-1))
        gathered = gathered.view(count, -1, *stored.shape[1:])
        # [B, P, 2, page, kv_heads, head_dim] -> two of [B, kv_heads, P * page, head_dim]
        keys, values = (gathered[:, :, part].flatten(1, 2).transpose(1, 2) for part in (0, 1))
        rows = query.view(count, width, *query.shape[1:]).transpose(1, 2)
        mask = as_mask(chosen, keys.shape[2])[:, None]
        attended = functional.scaled_dot_product_attention(
            rows, keys, values, attn_mask=mask, enable_gqa=True
        )
        return attended.transpose(1, 2).reshape(query.shape)
