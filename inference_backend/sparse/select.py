"""Which keys a query attends to, from the indexer's scores. Pure tensor code."""

from typing import NamedTuple

import torch
from torch import Tensor

FORCED_FIRST = 1
"""The first token is always chosen: models put there what they have no other use for."""

FORCED_RECENT = 32
"""So are the last tokens, the query's own among them: text is mostly continued from there."""

TIE_STEP = 1e-30
"""Many scores are exactly 0, as every head's relu can be. The later of such keys wins, however long
the row: else ranks that compute different rows of a prompt would choose otherwise than one alone.
"""


class Chosen(NamedTuple):
    """Positions ``[..., k]`` of the chosen keys in no order, and which of them are real.

    A query with fewer than ``k`` tokens before it has unreal ones.
    """

    positions: Tensor
    is_real: Tensor


def choose(scores: Tensor, positions: Tensor, topk: int) -> Chosen:
    """The ``topk`` best keys of every query, never one that comes after it.

    ``scores [..., R, L]`` of the keys at positions 0 to L - 1; ``positions [..., R]`` of the
    queries.
    """
    keys = torch.arange(scores.shape[-1], device=scores.device)
    own = positions.unsqueeze(-1)
    is_forced = (keys < FORCED_FIRST) | (keys > own - FORCED_RECENT)
    # Scores that are not a number (a cache that holds anything) must not choose the future.
    scores = torch.nan_to_num(scores.float(), nan=0.0, posinf=1e30, neginf=-1e30)
    scores = scores + keys * TIE_STEP
    scores = scores.clamp(-1e30, 1e30).masked_fill(is_forced, 1e31)
    scores = scores.masked_fill(keys > own, float("-inf"))
    best = scores.topk(min(topk, scores.shape[-1]), dim=-1, sorted=False)
    return Chosen(best.indices, best.values > float("-inf"))


def as_mask(chosen: Chosen, num_keys: int) -> Tensor:
    """``[..., R, num_keys]``: whether each key is chosen."""
    shape = (*chosen.positions.shape[:-1], num_keys)
    mask = torch.zeros(shape, dtype=torch.bool, device=chosen.positions.device)
    return mask.scatter(-1, chosen.positions, chosen.is_real)
