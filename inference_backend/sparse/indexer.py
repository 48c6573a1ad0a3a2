"""The indexer: scores every earlier token for a query, much more cheaply than attention does.

The design is DeepSeek Sparse Attention's (DeepSeek-V3.2-Exp, section 2.1): a key of a few numbers a
token, a few query heads, ``score = sum over heads of weight * relu(query . key)``. Its inputs are
the layer's own attention query and key with the rotation undone: what attention decides depends on
nothing else, and the model need not know that it is there.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from inference_backend.model.elementwise import rotate
from inference_backend.model.shape import LlamaShape
from inference_backend.model.transformer import RotaryTable


@dataclass(frozen=True, slots=True)
class IndexShape:
    """What distinguishes one indexer from another, kept in the weights' file.

    Attributes:
        dim: numbers of an index key. An eighth of a token's key and value in a layer.
        heads: query heads; they share the key.
        rotary_dim: leading dimensions of query and key that turn with the position.
    """

    dim: int
    heads: int
    rotary_dim: int


def default_index_shape(target: LlamaShape) -> IndexShape:
    """An eighth of the target's key and value; a third of it turns with the position."""
    dim = max(4, target.num_kv_heads * target.head_dim // 4)
    return IndexShape(dim, heads=4, rotary_dim=max(2, dim // 6 * 2))


class Turns(NamedTuple):
    """Cosines and signed sines of rows: the target's heads' and the indexer's own."""

    target_cosine: Tensor
    target_sine: Tensor
    cosine: Tensor
    sine: Tensor


class LayerIndexer(nn.Module):
    """The projections of one layer."""

    def __init__(self, target: LlamaShape, shape: IndexShape) -> None:
        super().__init__()
        self.shape = shape
        query_size = target.num_heads * target.head_dim
        self.key = nn.Linear(target.num_kv_heads * target.head_dim, shape.dim, bias=False)
        self.query = nn.Linear(query_size, shape.heads * shape.dim, bias=False)
        self.weight = nn.Linear(query_size, shape.heads)
        nn.init.ones_(self.weight.bias)

    def index_keys(self, key: Tensor, turns: Turns) -> Tensor:
        """``key [N, kv_heads, head_dim]`` as attention gets it -> ``[N, dim]``."""
        plain = undo_rotation(key, turns).flatten(1)
        return self._turn(self.key(plain).unsqueeze(1), turns).squeeze(1)

    def index_queries(self, query: Tensor, turns: Turns) -> tuple[Tensor, Tensor]:
        """``query [N, heads, head_dim]`` -> index queries ``[N, H, dim]``, weights ``[N, H]``."""
        plain = undo_rotation(query, turns).flatten(1)
        queries = self.query(plain).view(-1, self.shape.heads, self.shape.dim)
        return self._turn(queries, turns) * self.shape.dim**-0.5, self.weight(plain)

    def _turn(self, states: Tensor, turns: Turns) -> Tensor:
        turning, fixed = states.tensor_split([self.shape.rotary_dim], dim=-1)
        turned = rotate(turning, turns.cosine, turns.sine)
        return torch.cat([turned, fixed.to(turned.dtype)], dim=-1)


class Indexer(nn.Module):
    """One ``LayerIndexer`` a layer of the target; the draft head's layer has none."""

    def __init__(self, target: LlamaShape, shape: IndexShape) -> None:
        super().__init__()
        self.shape = shape
        self.layers = nn.ModuleList(LayerIndexer(target, shape) for _ in range(target.num_layers))
        self.target_rotary = RotaryTable(target.head_dim, target.rope_theta, target.max_context)
        self.rotary = RotaryTable(shape.rotary_dim, target.rope_theta, target.max_context)

    def turns(self, positions: Tensor) -> Turns:
        """What the rows at ``positions [N]`` need, for all layers."""
        return Turns(*self.target_rotary(positions), *self.rotary(positions))

    def layer(self, index: int) -> LayerIndexer:
        layer = self.layers[index]
        assert isinstance(layer, LayerIndexer)
        return layer


def undo_rotation(states: Tensor, turns: Turns) -> Tensor:
    """The states before the target turned them by their positions."""
    return rotate(states, turns.target_cosine, -turns.target_sine)


def index_scores(queries: Tensor, weights: Tensor, keys: Tensor) -> Tensor:
    """``queries [B, R, H, dim]``, ``weights [B, R, H]``, ``keys [B, L, dim]`` -> ``[B, R, L]``."""
    across = keys.transpose(1, 2)
    total = torch.zeros((), dtype=queries.dtype, device=queries.device)
    for head in range(queries.shape[2]):  # one after the other: the products stay in the cache
        total = torch.addcmul(
            total, (queries[:, :, head] @ across).relu(), weights[:, :, head, None]
        )
    return total
