"""Which keys are chosen from scores."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_backend.sparse.select import FORCED_RECENT, as_mask, choose

LENGTH = 100


def chosen_set(scores: list[float], position: int, topk: int) -> set[int]:
    chosen = choose(torch.tensor([scores]), torch.tensor([position]), topk)
    return set(chosen.positions[0][chosen.is_real[0]].tolist())


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    position=st.integers(0, LENGTH - 1),
    topk=st.integers(1, LENGTH + 5),
)
def test_the_best_of_the_past_are_chosen(seed: int, position: int, topk: int) -> None:
    """Forced ones first, then by score; never one that comes later; as many as there are."""
    scores = torch.randn(LENGTH, generator=torch.Generator().manual_seed(seed)).tolist()
    found = chosen_set(scores, position, topk)
    assert len(found) == min(topk, position + 1)
    assert max(found) <= position
    forced = {0} | set(range(max(0, position - FORCED_RECENT + 1), position + 1))
    if topk >= len(forced):
        assert forced <= found
        free = sorted(set(range(position + 1)) - forced, key=lambda key: -scores[key])
        assert found - forced == set(free[: topk - len(forced)])
    else:
        assert found <= forced


@pytest.mark.parametrize("wild", [float("nan"), float("inf"), float("-inf")])
def test_wild_scores_choose_neither_the_future_nor_less(wild: float) -> None:
    """An index cache that was never loaded holds anything; what is read must stay causal."""
    found = chosen_set([wild] * LENGTH, 60, 50)
    assert len(found) == 50
    assert max(found) == 60
    assert {0, *range(60 - FORCED_RECENT + 1, 61)} <= found


def test_the_mask_says_the_same() -> None:
    """Unreal entries mark nothing, although their positions are somewhere."""
    positions = torch.tensor([2, 70])
    chosen = choose(torch.randn(2, LENGTH), positions, 40)
    mask = as_mask(chosen, LENGTH)
    assert mask.sum(-1).tolist() == [3, 40]
    assert mask[0, :3].all()
    assert not mask[1, 71:].any()
