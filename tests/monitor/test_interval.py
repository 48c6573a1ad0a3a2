"""Exact intervals against published and computed values."""

import pytest

from monitor.interval import clopper_pearson


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        (0, 0, 0.0, 1.0),
        (0, 10, 0.0, 0.308497),
        (10, 10, 0.691503, 1.0),
        (5, 10, 0.187086, 0.812914),
        (2, 173, 0.00140313, 0.0411353),
        (81, 263, 0.252737, 0.367622),
        (0, 1_000_000, 0.0, 3.68887e-6),
        (3, 1_000_000, 6.18672e-7, 8.76725e-6),
    ],
)
def test_known_values(hits: int, trials: int, low: float, high: float) -> None:
    """Checked against another implementation."""
    assert clopper_pearson(hits, trials) == pytest.approx((low, high), rel=1e-4)


@pytest.mark.parametrize("trials", [1, 7, 200])
def test_shares_are_inside_and_ordered(trials: int) -> None:
    """More hits, a higher interval."""
    found = [clopper_pearson(hits, trials) for hits in range(trials + 1)]
    assert all(low <= hits / trials <= high for hits, (low, high) in enumerate(found))
    assert found == sorted(found)


def test_a_higher_confidence_is_wider() -> None:
    """And never leaves 0 to 1."""
    low, high = clopper_pearson(3, 9)
    wider_low, wider_high = clopper_pearson(3, 9, confidence=0.99)
    assert 0 < wider_low < low < high < wider_high < 1


@pytest.mark.parametrize(("hits", "trials"), [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(hits: int, trials: int) -> None:
    """They are a mistake of the caller."""
    with pytest.raises(ValueError, match="hits"):
        clopper_pearson(hits, trials)
