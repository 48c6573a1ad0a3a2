"""What choosing keys costs: a model's perplexity when each query sees only the chosen ones."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from inference_backend.model.transformer import Attend, Transformer
from inference_backend.sparse.distil import attend_fully, summed_attention
from inference_backend.sparse.indexer import Indexer, index_scores
from inference_backend.sparse.select import as_mask, choose

QUERIES_A_BLOCK = 512

Score = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""``score(layer, query, key, positions) -> [R, length]`` for the queries at ``positions [R]``.

``query [length, heads, head_dim]`` and ``key [length, kv_heads, head_dim]`` are one text's.
"""


@dataclass(frozen=True, slots=True)
class Quality:
    """Of one text under one way of choosing.

    Attributes:
        loss: mean negative log-likelihood of the tokens from ``after`` on, in nats.
        recall: share of the full attention's weight that lies on chosen keys, averaged over
            layers and over queries from ``after`` on.
    """

    loss: float
    recall: float


@torch.inference_mode()
def measure(
    model: Transformer, tokens: Tensor, score: Score | None, topk: int, after: int
) -> Quality:
    """Runs one text ``[length]``; without ``score``, full attention."""
    recalls: list[Tensor] = []
    positions = torch.arange(len(tokens), device=tokens.device)
    attend = full_attention if score is None else chosen_attention(score, topk, after, recalls)
    hidden = model(tokens, positions, attend)
    last = len(tokens) - 1
    losses = [
        torch.nn.functional.cross_entropy(
            model.logits(hidden[start:end]), tokens[start + 1 : end + 1], reduction="none"
        )
        for start, end in pairwise([*range(0, last, QUERIES_A_BLOCK), last])
    ]
    recall = torch.stack(recalls).mean().item() if recalls else 1.0
    return Quality(torch.cat(losses)[after:].mean().item(), recall)


def full_attention(_layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Every query sees all that came before it."""
    return attend_fully(query[None], key[None], value[None])[0]


def chosen_attention(score: Score, topk: int, after: int, recalls: list[Tensor]) -> Attend:
    """Every query sees its ``topk`` best keys by ``score``; notes the recall of each block."""

    def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        length = len(query)
        blocks = []
        for start in range(0, length, QUERIES_A_BLOCK):
            rows = torch.arange(start, min(start + QUERIES_A_BLOCK, length), device=query.device)
            mask = as_mask(choose(score(layer, query, key, rows), rows, topk), length)
            if start >= after:
                recalls.append(recall_of(mask, query[rows], key, rows))
            blocks.append(attend_fully(query[rows][None], key[None], value[None], mask)[0])
        return torch.cat(blocks)

    return attend


def recall_of(mask: Tensor, query: Tensor, key: Tensor, rows: Tensor) -> Tensor:
    """Share of the full attention of the queries ``[R]`` that the chosen keys hold."""
    future = torch.arange(len(key), device=key.device) > rows[:, None]
    weights = summed_attention(query[None], key[None], future)[0]
    return (weights * mask).sum(-1).mean()


def by_indexer(indexer: Indexer) -> Score:
    """The fitted scores."""

    def score(layer: int, query: Tensor, key: Tensor, rows: Tensor) -> Tensor:
        one = indexer.layer(layer)
        turns = indexer.turns(torch.arange(len(key), device=key.device))
        keys = one.index_keys(key, turns)
        queries, weights = one.index_queries(query[rows], indexer.turns(rows))
        return index_scores(queries[None], weights[None], keys[None])[0]

    return score


def by_attention(_layer: int, query: Tensor, key: Tensor, rows: Tensor) -> Tensor:
    """The best that one set of keys for all heads can do: the attention itself."""
    future = torch.arange(len(key), device=key.device) > rows[:, None]
    return summed_attention(query[rows][None], key[None], future)[0]


def by_recency(_layer: int, _query: Tensor, key: Tensor, rows: Tensor) -> Tensor:
    """A sliding window: the latest are the best."""
    return _ascending(len(key), key.device).expand(len(rows), -1)


@functools.cache
def _ascending(length: int, device: torch.device) -> Tensor:
    return torch.arange(length, device=device, dtype=torch.float32)
