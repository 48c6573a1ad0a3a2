"""The indexer's loss: how far its scores are from the attention that they stand for.

All rows of text are computed by the target with full attention; each layer's indexer sees that
layer's queries and keys and learns on its own.
"""

import torch
from torch import Tensor

from inference_backend.model.transformer import Transformer
from inference_backend.sparse.indexer import Indexer, index_scores


def distil(model: Transformer, indexer: Indexer, tokens: Tensor, positions: Tensor) -> Tensor:
    """Adds the gradients of one batch to the indexer; returns each layer's loss ``[layers]``.

    The loss is the Kullback-Leibler divergence (nats) of softmax(scores) from the attention summed
    over heads, averaged over the queries.

    Args:
        tokens: ``[rows, length]``.
        positions: ``[R]`` of the queries that are compared, the same in every row.
    """
    rows, length = tokens.shape
    losses: list[Tensor] = []
    all_positions = torch.arange(length, device=tokens.device)
    turns = indexer.turns(all_positions.repeat(rows))
    query_turns = indexer.turns(positions.repeat(rows))
    future = all_positions > positions[:, None]
    is_cuda = tokens.device.type == "cuda"

    def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        queries_of, keys_of, values_of = (by_row(part, rows) for part in (query, key, value))
        chosen = queries_of[:, positions]
        target = summed_attention(chosen, keys_of, future)
        with torch.enable_grad(), torch.autocast(tokens.device.type, torch.bfloat16, is_cuda):
            one = indexer.layer(layer)
            keys = by_row(one.index_keys(key, turns), rows)
            queries, weights = one.index_queries(chosen.flatten(0, 1), query_turns)
            scores = index_scores(by_row(queries, rows), by_row(weights, rows), keys).float()
            log_chosen = scores.masked_fill(future, float("-inf")).log_softmax(-1)
            # 0 * -inf is not a number: the future has no part in the sum.
            loss = -(target * log_chosen.masked_fill(future, 0.0)).sum(-1).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach() - entropy(target))
        return attend_fully(queries_of, keys_of, values_of).flatten(0, 1)

    with torch.no_grad():
        model(tokens.flatten(), all_positions.repeat(rows), attend)
    return torch.stack(losses)


def by_row(states: Tensor, rows: int) -> Tensor:
    """``[rows * n, ...]`` -> ``[rows, n, ...]``."""
    return states.reshape(rows, states.shape[0] // rows, *states.shape[1:])


def attend_fully(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Causal attention, or what ``mask [R, length]`` allows.

    ``query [rows, R, heads, head_dim]``, ``key`` and ``value [rows, length, kv_heads, head_dim]``.
    """
    query, key, value = (part.transpose(1, 2) for part in (query, key, value))
    attended = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=mask is None, enable_gqa=True
    )
    return attended.transpose(1, 2)


def summed_attention(query: Tensor, key: Tensor, future: Tensor) -> Tensor:
    """Attention weights averaged over the heads: they sum to 1.

    ``query [rows, R, heads, head_dim]``, ``key [rows, length, kv_heads, head_dim]``,
    ``future [R, length]`` -> ``[rows, R, length]``, float32.
    """
    heads, share = query.shape[2], query.shape[2] // key.shape[2]
    total = torch.zeros(query.shape[0], query.shape[1], key.shape[1], device=query.device)
    for head in range(heads):
        scores = query[:, :, head] @ key[:, :, head // share].transpose(1, 2)
        scores = scores.float() * query.shape[-1] ** -0.5
        total += scores.masked_fill(future, float("-inf")).softmax(-1)
    mean: Tensor = total / heads
    return mean


def entropy(probabilities: Tensor) -> Tensor:
    """Mean entropy of the last dimension, in nats."""
    mean: Tensor = torch.special.entr(probabilities).sum(-1).mean()
    return mean
