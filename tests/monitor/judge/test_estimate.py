"""Exact intervals of shares."""

import math

import pytest

from monitor.judge.estimate import share


def binomial_tail(count: int, trials: int, probability: float) -> float:
    """P(at least ``count`` successes), added up."""
    return sum(
        math.comb(trials, k) * probability**k * (1 - probability) ** (trials - k)
        for k in range(count, trials + 1)
    )


@pytest.mark.parametrize("whole", [1, 2, 7, 40, 200])
def test_each_bound_leaves_exactly_its_tail(whole: int) -> None:
    """At the lower bound so much or more has probability 2.5 %, at the upper one so little."""
    for part in range(0, whole + 1, max(1, whole // 7)):
        found = share(part, whole)
        assert found.estimate == part / whole
        assert 0 <= found.low <= found.estimate <= found.high <= 1
        if part > 0:
            assert binomial_tail(part, whole, found.low) == pytest.approx(0.025, rel=1e-6)
        if part < whole:
            below = 1 - binomial_tail(part + 1, whole, found.high)
            assert below == pytest.approx(0.025, rel=1e-6)


def test_nothing_found_still_leaves_an_upper_bound() -> None:
    """The rule of three, for 95 % on both sides: 3.7 / n."""
    found = share(0, 30_000)
    assert (found.estimate, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1.23e-4, rel=0.01)


def test_all_found_is_the_mirror_image() -> None:
    """Of nothing found."""
    assert share(50, 50).low == pytest.approx(1 - share(0, 50).high)
    assert share(50, 50).high == 1.0


def test_without_data_anything_is_possible() -> None:
    """And there is no estimate."""
    found = share(0, 0)
    assert (found.estimate, found.low, found.high) == (None, 0.0, 1.0)


def test_large_counts_are_as_exact() -> None:
    """Close to the normal interval there."""
    found = share(500_000, 1_000_000)
    assert found.low == pytest.approx(0.5 - 1.96 * 0.0005, abs=1e-6)
