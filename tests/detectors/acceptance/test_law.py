"""Laws of accepted drafts."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.acceptance.law import (
    Law,
    geometric,
    likelihood_ratios,
    mean,
    pooled,
    with_all_accepted,
    with_none_accepted,
)

LAWS = st.lists(st.floats(0.01, 1.0), min_size=2, max_size=9).map(
    lambda weights: tuple(weight / sum(weights) for weight in weights)
)


def test_pooled_counts_every_step_of_every_request() -> None:
    assert pooled([[0, 1], [1, 1, 0, 2, 2, 2]], 2) == pytest.approx((2 / 8, 3 / 8, 3 / 8))


@pytest.mark.parametrize("requests", [[], [[]], [[3]], [[-1]]])
def test_pooled_refuses_what_is_no_count(requests: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="step"):
        pooled(requests, 2)


@given(LAWS, st.floats(0.05, 0.95))
def test_a_tilted_law_has_the_share_asked_for(law: Law, share: float) -> None:
    low, high = with_none_accepted(law, share), with_all_accepted(law, share)
    assert low[0] == pytest.approx(share, abs=0.01)
    assert high[-1] == pytest.approx(share, abs=0.01)
    assert sum(low) == pytest.approx(1.0)
    assert sum(high) == pytest.approx(1.0)


@given(st.integers(1, 12), st.floats(0.05, 0.9))
def test_a_geometric_law_has_the_mean_asked_for(num_drafts: int, share: float) -> None:
    wanted = share * num_drafts
    assert mean(geometric(num_drafts, wanted)) == pytest.approx(wanted, abs=0.02)


@given(LAWS, st.floats(0.3, 0.9))
def test_ratios_fall_with_the_accepted_count_and_average_to_one(law: Law, share: float) -> None:
    """What makes the test valid for every law above the floor, not for the floor alone."""
    floor = with_none_accepted(law, share)
    damaged = with_none_accepted(floor, 0.97)
    tables = likelihood_ratios(damaged, floor)
    for drafted, table in enumerate(tables):
        assert all(left >= right - 1e-9 for left, right in pairwise(table))
        truncated = [*floor[:drafted], sum(floor[drafted:])]
        average = sum(share * ratio for share, ratio in zip(truncated, table, strict=True))
        assert average == pytest.approx(1.0)
    assert tables[0] == pytest.approx((1.0,))
