"""What trials say: a table of counts, and the posterior against simulation."""

import random

import pytest

from monitor.triage.association import Sample, associations, mean_ranks
from monitor.triage.conclusion import Cause, Trials, conclude, probability_higher

CASES = [
    # alone (sent, anomalous), under load, wrong cache -> cause
    ((40, 40), (40, 40), None, Cause.INPUT),
    ((40, 12), (40, 14), None, Cause.INPUT),
    ((40, 0), (40, 12), None, Cause.LOAD),
    ((40, 1), (40, 30), None, Cause.LOAD),
    ((40, 10), (40, 35), None, Cause.BOTH),
    ((40, 0), (40, 0), None, Cause.NOT_SEEN),
    ((40, 0), (40, 0), 0, Cause.NOT_SEEN),
    ((40, 0), (40, 1), None, Cause.UNCLEAR),
    ((3, 1), (3, 1), None, Cause.UNCLEAR),
    ((40, 0), (40, 12), 12, Cause.CORRUPTION),
    ((40, 20), (40, 20), 1, Cause.INPUT),
]


@pytest.mark.parametrize(("alone", "loaded", "corrupted", "cause"), CASES)
def test_the_cause(
    alone: tuple[int, int], loaded: tuple[int, int], corrupted: int | None, cause: Cause
) -> None:
    found = conclude(Trials(*alone), Trials(*loaded), corrupted)
    assert found.cause is cause
    if cause in (Cause.INPUT, Cause.LOAD, Cause.BOTH):
        assert found.confidence is not None
        assert 0.95 <= found.confidence <= 1.0
    else:
        assert found.confidence is None


def test_it_says_what_could_not_be_told() -> None:
    silent = " ".join(conclude(Trials(40, 0), Trials(40, 0), None).unknown)
    assert "8.8%" in silent, "the exact upper bound of 0 in 40"
    assert "keeps no record" in silent
    assert "keeps no record" not in " ".join(conclude(Trials(40, 0), Trials(40, 0), 0).unknown)


@pytest.mark.parametrize(
    ("low", "high"), [((5, 1), (7, 3)), ((40, 0), (40, 1)), ((10, 9), (12, 2)), ((0, 0), (0, 0))]
)
def test_the_posterior_is_that_of_drawn_rates(low: tuple[int, int], high: tuple[int, int]) -> None:
    rng = random.Random(1)
    draws = 40_000

    def rate(sent: int, anomalous: int) -> float:
        return rng.betavariate(anomalous + 1, sent - anomalous + 1)

    drawn = sum(rate(*high) > rate(*low) for _ in range(draws)) / draws
    assert probability_higher(Trials(*low), Trials(*high)) == pytest.approx(drawn, abs=0.012)


def test_equal_values_share_their_ranks() -> None:
    assert mean_ranks([3.0, 1.0, 3.0, 7.0]) == [2.5, 1.0, 2.5, 4.0]


def test_the_number_that_goes_with_the_anomalies_is_found() -> None:
    """Queues go with them, the cache's use does not."""
    samples = [
        Sample({"waiting_requests": float(n % 4), "cache_usage": float(n * 7 % 5)}, n % 4 == 3)
        for n in range(40)
    ]
    first, second = associations(samples)
    assert (first.quantity, first.higher, first.is_suspect) == ("waiting_requests", 1.0, True)
    assert not second.is_suspect


@pytest.mark.parametrize("is_anomalous", [True, False])
def test_where_all_ended_alike_nothing_is_compared(*, is_anomalous: bool) -> None:
    samples = [Sample({"waiting_requests": float(n)}, is_anomalous) for n in range(9)]
    assert associations(samples) == []


@pytest.mark.parametrize(
    ("control", "cause"),
    [((40, 0), Cause.INPUT), ((40, 1), Cause.INPUT), ((40, 14), Cause.ANY_INPUT)],
)
def test_another_request_that_fails_as_often_clears_the_input(
    control: tuple[int, int], cause: Cause
) -> None:
    """Damage that comes at a steady rate looks like the input's doing until another is tried."""
    found = conclude(Trials(40, 13), Trials(40, 12), None, Trials(*control))
    assert found.cause is cause
