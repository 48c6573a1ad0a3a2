"""The numbers behind the report's plots."""

import math

import pytest
from msgspec import structs

from monitor.records import Incident
from monitor.report.figures import (
    OTHERS,
    accept_lengths,
    cost,
    delays,
    histogram,
    over_time,
    quantile,
    top,
)
from tests.monitor.events import REPLICA_A, REPLICA_B
from tests.monitor.incidents.made import made


async def at(*seconds: float, replica: str = REPLICA_A) -> list[Incident]:
    """Incidents at these times."""
    one = await made(replica=replica)
    return [structs.replace(one, id=f"{replica}{when}", at=when) for when in seconds]


async def test_incidents_fall_into_equal_spans() -> None:
    """Each in one, whichever replica; the most troubled one first."""
    incidents = await at(100.0, 101.0, 159.9, 219.0) + await at(160.0, replica=REPLICA_B)
    found = over_time(incidents)
    assert (found.start, found.bin_seconds) == (100.0, 5.0)
    assert list(found.counts) == [REPLICA_A, REPLICA_B]
    assert sum(map(sum, found.counts.values())) == 5
    assert found.counts[REPLICA_A][0] == 2
    assert found.counts[REPLICA_B][12] == 1


@pytest.mark.parametrize("span", [0.0, 1.0, 47.9, 48.0, 86_400.0 * 400, 86_400.0 * 40_000])
async def test_any_span_has_a_bounded_number_of_bars(span: float) -> None:
    found = over_time(await at(1e9, 1e9 + span))
    assert sum(found.counts[REPLICA_A]) == 2
    assert len(found.counts[REPLICA_A]) <= 50


async def test_many_replicas_are_taken_together() -> None:
    """A colour for each of 64 is no picture."""
    incidents = [one for n in range(64) for one in await at(*range(70 - n), replica=f"r{n}")]
    found = over_time(incidents)
    assert list(found.counts) == ["r0", "r1", "r2", "r3", "r4", "r5", OTHERS]
    assert sum(map(sum, found.counts.values())) == len(incidents)
    assert top("aab") == ["a", "b"]


async def test_lengths_by_replica() -> None:
    """The finding's own, the retry's that went well, and what the monitor told."""
    incident = await made()
    (first, second) = accept_lengths([incident, incident], {REPLICA_B: [2.5], "z": [3.0]})[:2]
    assert (first.replica, list(first.healthy), list(first.sick)) == (REPLICA_A, [], [2.0])
    assert (second.replica, list(second.healthy), list(second.sick)) == (REPLICA_B, [2.5, 2.0], [])


async def test_costs_are_added_up_and_no_request_counts_twice() -> None:
    """Two sick attempts of one request are one delay."""
    one = await made()
    spent = cost([one, structs.replace(one, id="other"), structs.replace(one, request=None)])
    assert (spent.thrown_away, spent.leaked, spent.retries) == (105, 15, 1)
    assert list(spent.added_seconds) == [2.0]
    assert spent.outcomes == {"retried_clean": 1}


async def test_what_a_record_lacks_costs_nothing() -> None:
    """An older version's."""
    one = await made()
    facts = structs.replace(one.facts, wasted_tokens=None, leaked_tokens=None, verdict=None)
    bare = structs.replace(one, facts=structs.replace(facts, accept_length=None), request=None)
    assert cost([bare]).thrown_away == 0
    assert delays([bare, one]) == [39]
    assert accept_lengths([bare], {}) == []


def test_quantiles_and_histograms() -> None:
    """By nearest rank; every value in a bin."""
    assert [quantile([1, 2, 3, 4], share) for share in (0.0, 0.5, 0.95, 1.0)] == [1, 2, 4, 4]
    assert quantile([], 0.5) is None
    for values in ([0], [5, 5], [0, 1, 2, 1000], list(range(100))):
        width, counts = histogram(values, 32)
        assert sum(counts) == len(values)
        assert math.isfinite(width)
        assert width >= 1
