"""The draft head over whole sequences at once, unrolled as when it drafts; and its loss.

All tensors are indexed by position. In step ``k`` (1-based) the entry at position ``i`` is the
``k``-th draft of the chain whose first token is at ``i - k + 1``; it guesses the token at ``i +
1``. So every step has the same target, the model's own distribution at ``i``.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from inference_backend.model.transformer import Attend, Transformer
from inference_backend.speculative.head import DraftHead


def target_hidden(model: Transformer, tokens: Tensor) -> Tensor:
    """The target's final hidden states of ``tokens [rows, length]``: ``[rows, length, hidden]``."""
    rows, length = tokens.shape

    def attend(_layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        query, key, value = (_by_row(part, rows).transpose(1, 2) for part in (query, key, value))
        attended = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=True
        )
        return attended.transpose(1, 2).flatten(0, 1)

    positions = torch.arange(length, device=tokens.device).repeat(rows)
    hidden: Tensor = model(tokens.flatten(), positions, attend)
    return _by_row(hidden, rows)


def _by_row(states: Tensor, rows: int) -> Tensor:
    """``[rows * length, ...]`` -> ``[rows, length, ...]``."""
    return states.reshape(rows, states.shape[0] // rows, *states.shape[1:])


def unrolled(
    model: Transformer, head: DraftHead, tokens: Tensor, hidden: Tensor, steps: int
) -> list[Tensor]:
    """Outputs of ``steps`` drafts for every chain: ``steps`` tensors ``[rows, length, hidden]``.

    Entry ``i`` of step ``k`` is meaningful for ``i >= k``.
    """
    rows, length = tokens.shape
    cosine, sine = model.rotary(torch.arange(length, device=tokens.device).repeat(rows))
    embedded = model.embedding(tokens).flatten(0, 1)
    cache: list[tuple[Tensor, Tensor]] = []
    outputs: list[Tensor] = []
    previous = hidden
    for _ in range(steps):
        attend = _chain_attention(cache, rows, length)
        out = head(_shift(previous, 1).flatten(0, 1), embedded, cosine, sine, attend)
        outputs.append(_by_row(out, rows))
        previous = outputs[-1]
    return outputs


def _shift(states: Tensor, by: int) -> Tensor:
    """Moves entries ``by`` positions later along dimension 1; zeros enter."""
    return torch.cat([torch.zeros_like(states[:, :by]), states[:, : states.shape[1] - by]], dim=1)


def _chain_attention(cache: list[tuple[Tensor, Tensor]], rows: int, length: int) -> Attend:
    """Attention of the next step: real entries up to the chain's first token, then its own."""

    def attend(_layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        groups = query.shape[1] // key.shape[1]
        query, key, value = (_by_row(part, rows) for part in (query, key, value))
        cache.append((key.repeat_interleave(groups, 2), value.repeat_interleave(groups, 2)))
        step, (first_key, first_value) = len(cache), cache[0]
        query = query * query.shape[-1] ** -0.5
        scores = query.transpose(1, 2) @ first_key.transpose(1, 2).transpose(2, 3)
        index = torch.arange(length, device=query.device)
        hidden_ones = index[None, :] > index[:, None] - step + 1
        scores = scores.masked_fill(hidden_ones, float("-inf"))
        own = [
            (query * _shift(cache[m - 1][0], step - m)).sum(-1).transpose(1, 2)
            for m in range(2, step + 1)
        ]
        weights = torch.cat([scores, *(part.unsqueeze(-1) for part in own)], dim=-1).softmax(-1)
        attended = (weights[..., :length] @ first_value.transpose(1, 2)).transpose(1, 2)
        for m in range(2, step + 1):
            weight = weights[..., length + m - 2].transpose(1, 2).unsqueeze(-1)
            attended = attended + weight * _shift(cache[m - 1][1], step - m)
        return attended.flatten(0, 1)

    return attend


class DraftLoss(torch.autograd.Function):
    """Cross-entropy against the target's distribution, mixed with the share of refused drafts.

    The gradient is made chunk by chunk in the forward pass, so that logits over the vocabulary
    (49,152 columns a token and step) never exist for a whole batch at once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        outputs: Tensor,
        hidden: Tensor,
        weights: Tensor,
        unembedding: Tensor,
        rejection: float,
        chunk: int,
    ) -> Tensor:
        """``outputs [steps, N, hidden]``, the target's ``hidden [N, hidden]``.

        ``weights [steps, N]``.
        """
        mixed_loss = _compiled_loss() if outputs.is_cuda else _mixed_loss
        gradient = torch.empty_like(outputs)
        total = torch.zeros((), device=outputs.device)
        share = torch.tensor(rejection, device=outputs.device)
        for start in range(0, hidden.shape[0], chunk):
            part = slice(start, start + chunk)
            target = (hidden[part] @ unembedding.T).float().softmax(-1)
            for step in range(outputs.shape[0]):
                logits = outputs[step, part] @ unembedding.T
                loss, slope = mixed_loss(target, logits, weights[step, part], share)
                total += loss.sum()
                gradient[step, part] = slope @ unembedding
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0], None, None, None, None, None


def _mixed_loss(
    target: Tensor, logits: Tensor, weights: Tensor, rejection: Tensor
) -> tuple[Tensor, Tensor]:
    """Weighted loss ``[N]`` and its derivative by the draft's logits ``[N, vocab]``.

    ``(1 - rejection) * cross-entropy + rejection * (1 - sum(min(target, draft)))``: the second part
    is exactly the share of drafts that speculative sampling rejects at temperature 1.
    """
    log_draft = logits.float().log_softmax(-1)
    draft = log_draft.exp()
    cross_entropy = -(target * log_draft).sum(-1)
    kept = torch.minimum(target, draft).sum(-1)
    is_short = (draft < target).float()
    short = (draft * is_short).sum(-1, keepdim=True)
    slope = (1 - rejection) * (draft - target) - rejection * draft * (is_short - short)
    loss = (1 - rejection) * cross_entropy + rejection * (1 - kept)
    return loss * weights, (slope * weights[:, None]).to(logits.dtype)


@functools.cache
def _compiled_loss() -> Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Compiled when first used: the compiler takes seconds to import."""
    return torch.compile(_mixed_loss, dynamic=False)
