"""Speculative sampling's arithmetic: tensors in, tokens out. Random numbers come in from outside.

The rule is that of Leviathan et al. (arXiv 2211.17192) and Chen et al. (arXiv 2302.01318): a draft
``x`` is kept with probability ``min(1, target(x) / draft(x))``; at the first rejection the token is
drawn from what the target has more of than the draft. Whatever the draft is, the tokens that come
out have the target's distribution.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

HALVINGS = 36
"""Halvings of the range of logits: it ends between two neighbouring float32 numbers."""

TOP_CANDIDATES = 256
"""Top-p is decided among this many most likely tokens where they carry the mass.

That saves a sort of the vocabulary.
"""


@dataclass(frozen=True, slots=True)
class SamplingRows:
    """Sampling parameters, one entry a row.

    Attributes:
        temperature: float ``[N]``; 0 means the most likely token.
        top_p: float ``[N]``, 1 where off.
        top_k: int64 ``[N]``, the vocabulary's size where off.
        is_filtered: whether any row uses top-p or top-k (known on the host).
    """

    temperature: Tensor
    top_p: Tensor
    top_k: Tensor
    is_filtered: bool

    def repeat(self, times: int) -> "SamplingRows":
        """Every row ``times`` times in a row."""
        return SamplingRows(
            self.temperature.repeat_interleave(times),
            self.top_p.repeat_interleave(times),
            self.top_k.repeat_interleave(times),
            self.is_filtered,
        )


def distribution(logits: Tensor, rows: SamplingRows) -> Tensor:
    """What the target samples from: ``logits [N, vocab]`` -> float32 probabilities, same shape.

    Order as in transformers and SGLang: temperature, then top-k, then top-p of what is left.
    """
    cooled = logits / rows.temperature.clamp(min=1e-5)[:, None]
    if rows.is_filtered:
        cooled = _filter(cooled, rows)
    probabilities = cooled.softmax(dim=-1)
    return torch.where(
        rows.temperature[:, None] > 0, probabilities, one_hot(logits.argmax(-1), logits.shape[-1])
    )


def one_hot(tokens: Tensor, size: int) -> Tensor:
    """``tokens [N]`` -> ``[N, size]`` float32."""
    return torch.zeros(tokens.shape[0], size, device=tokens.device).scatter_(
        1, tokens[:, None], 1.0
    )


def _filter(cooled: Tensor, rows: SamplingRows) -> Tensor:
    """Sets logits outside top-k and top-p to minus infinity."""
    if cooled.is_cuda:
        threshold = bisected_threshold(cooled, rows)
    else:
        width = min(cooled.shape[-1], TOP_CANDIDATES)
        threshold, is_settled = sorted_threshold(cooled, rows, width)
        if not bool(is_settled.all()):
            threshold, _ = sorted_threshold(cooled, rows, cooled.shape[-1])
    return cooled.masked_fill(cooled < threshold[:, None], float("-inf"))


def bisected_threshold(cooled: Tensor, rows: SamplingRows) -> Tensor:
    """Lowest logit that stays, ``[N]``, found by halving: no sort, nothing read back to the host.

    A GPU sorts a vocabulary ten times slower than it sums it this often.
    """

    def is_within_k(level: Tensor) -> Tensor:
        return (cooled >= level[:, None]).sum(-1) >= rows.top_k

    of_top_k = _halve(cooled, is_within_k)
    left = cooled.masked_fill(cooled < of_top_k[:, None], float("-inf")).softmax(-1)

    def is_within_p(level: Tensor) -> Tensor:
        return (left * (cooled >= level[:, None])).sum(-1) >= rows.top_p

    of_top_p = torch.maximum(of_top_k, _halve(cooled, is_within_p))
    # Rounding may let the sum reach 1 before every token is in.
    return torch.where(rows.top_p < 1, of_top_p, of_top_k)


def _halve(cooled: Tensor, is_enough: Callable[[Tensor], Tensor]) -> Tensor:
    """Highest level per row at which the logits from it on are enough, else the lowest logit."""
    low, high = cooled.min(-1).values, cooled.max(-1).values + 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        enough = is_enough(middle)
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
    return low


def sorted_threshold(cooled: Tensor, rows: SamplingRows, width: int) -> tuple[Tensor, Tensor]:
    """Lowest logit that stays, judged by the ``width`` largest; and whether these were enough.

    Tokens tied with the last kept one stay as well.
    """
    top = cooled.topk(width, dim=-1).values
    rank = torch.arange(width, device=cooled.device)
    in_top_k = rank < rows.top_k[:, None]
    # Mass is relative to what top-k left, which may be the whole vocabulary.
    whole = cooled.logsumexp(-1)
    of_top_k = top.masked_fill(~in_top_k, float("-inf")).logsumexp(-1)
    is_cut = rows.top_k < cooled.shape[-1]
    share = (top - torch.where(is_cut, of_top_k, whole)[:, None]).exp()
    before = share.cumsum(-1) - share
    kept = in_top_k & (before < rows.top_p[:, None])
    count = kept.sum(-1).clamp(min=1)
    threshold = top.gather(1, count[:, None] - 1)[:, 0]
    no_limit = (rows.top_p >= 1) & ~is_cut
    # Of a top-k beyond the width not all is seen, so its mass is not known.
    is_seen = ~is_cut | (rows.top_k <= width)
    is_settled = (is_seen & (count < width)) | no_limit
    return torch.where(no_limit, torch.full_like(threshold, float("-inf")), threshold), is_settled


def draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """One index a row, with probability proportional to ``weights [N, size]``.

    They are not negative, and not all zero in any row.
    Inverse of the cumulative sum at ``uniforms [N]``, each in [0, 1).
    """
    cumulative = weights.cumsum(-1)
    total = cumulative[:, -1:]
    # Strictly above u * total: an entry of weight zero is never chosen. Rounding must not lead past
    # the last entry with weight, where the cumulative sum first reaches its total.
    above = (cumulative > uniforms[:, None] * total).int().argmax(-1)
    last = (cumulative >= total).int().argmax(-1)
    return torch.minimum(above, last)


@dataclass(frozen=True, slots=True)
class DraftChoices:
    """What the draft head proposed.

    Attributes:
        tokens: ``[B, D]`` token ids.
        probabilities: ``[B, D, K]`` what each was drawn from, over the draft vocabulary.
        index: ``[B, D]`` each token's place in the draft vocabulary.
        vocabulary: ``[K]`` token ids of the draft vocabulary, ``None`` if it is the whole one.
    """

    tokens: Tensor
    probabilities: Tensor
    index: Tensor
    vocabulary: Tensor | None


def verify(target: Tensor, drafts: DraftChoices, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Keeps drafts and draws one more token.

    Args:
        target: ``[B, D + 1, vocab]`` the target's probabilities after the last token and after each
            draft.
        uniforms: ``[B, D + 1]`` in [0, 1): one for each draft, and one for the token after them.

    Returns:
        ``accepted [B]``, and ``tokens [B, D + 1]`` of which the first ``accepted + 1`` count.
    """
    rows, depth = drafts.tokens.shape
    if depth == 0:
        return torch.zeros(rows, dtype=torch.long, device=target.device), draw(
            target[:, 0], uniforms[:, 0]
        )[:, None]
    wanted = target[:, :depth].gather(2, drafts.tokens[:, :, None])[..., 0]
    offered = drafts.probabilities.gather(2, drafts.index[:, :, None])[..., 0]
    is_kept = uniforms[:, :depth] * offered < wanted
    accepted = is_kept.long().cumprod(1).sum(1)
    row = torch.arange(rows, device=target.device)
    left = target[row, accepted]
    refused = drafts.probabilities[row, accepted.clamp(max=depth - 1)]
    refused = torch.where((accepted < depth)[:, None], refused, torch.zeros_like(refused))
    residual = _subtract(left, refused, drafts.vocabulary)
    # Rounding can leave nothing where the two distributions are equal: then the target's own is
    # right.
    residual = torch.where(residual.sum(-1, keepdim=True) > 0, residual, left)
    last = draw(residual, uniforms[:, depth])
    tokens = torch.cat([drafts.tokens, last[:, None]], dim=1)
    tokens[row, accepted] = last
    return accepted, tokens


def _subtract(target: Tensor, draft: Tensor, vocabulary: Tensor | None) -> Tensor:
    """``max(target - draft, 0)``, the draft being over its own vocabulary."""
    if vocabulary is None:
        return (target - draft).clamp(min=0)
    return target.index_add(1, vocabulary, draft, alpha=-1).clamp(min=0)


def verify_greedy(best: Tensor, drafts: Tensor) -> tuple[Tensor, Tensor]:
    """The same at temperature 0 for a whole batch, without probabilities.

    Args:
        best: ``[B, D + 1]`` most likely tokens. drafts: ``[B, D]``.
    """
    depth = drafts.shape[1]
    accepted = (best[:, :depth] == drafts).long().cumprod(1).sum(1)
    return accepted, best
