"""The sink that the data plane talks to."""

import logging

import pytest

from detectors.draft_health import DraftState
from monitor.judge.opinion import Opinion, SecondOpinion
from monitor.monitor import Monitor
from monitor.records import IncidentFilter
from retry_proxy.events import Event, RequestOutcome
from tests.monitor.events import (
    attempt_ended,
    draft_health_changed,
    replica_changed,
    request_ended,
    request_id,
    stopped,
)
from tests.monitor.fakes import BrokenStore, UnreadableStore


async def test_the_story_of_a_retried_request() -> None:
    """Both attempts, in order, while it runs and afterwards."""
    monitor = Monitor()
    monitor.emit(stopped(1, 1))
    running = await monitor.request(request_id(1))
    assert running is not None
    assert running.is_running
    monitor.emit(attempt_ended(1, 2))
    monitor.emit(request_ended(1, outcome=RequestOutcome.RETRIED_CLEAN, attempts=2))
    ended = await monitor.request(request_id(1))
    assert ended is not None
    assert not ended.is_running
    assert [facts.attempt for facts in ended.attempts] == [1, 2]
    assert [one.request_id for one in await monitor.incidents(IncidentFilter())] == [request_id(1)]


@pytest.mark.parametrize("event", [stopped(), request_ended()], ids=["attempt", "request"])
async def test_a_fault_in_the_monitor_never_reaches_a_stream(
    event: Event, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted and logged, and the next event is taken."""
    monitor = Monitor(BrokenStore())
    with caplog.at_level(logging.CRITICAL, "specwatch.monitor"):
        monitor.emit(event)
        monitor.emit(replica_changed())
    name, labels = "specwatch_events_dropped_total", {"reason": "monitor_error"}
    assert monitor.metrics.registry.get_sample_value(name, labels) == 1


async def test_a_dead_drafter_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """One warning about the replica, with the numbers; no incident."""
    monitor = Monitor()
    with caplog.at_level(logging.INFO, "specwatch.monitor"):
        monitor.emit(draft_health_changed(DraftState.DEAD))
        monitor.emit(draft_health_changed(DraftState.HEALTHY))
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "dead: 19 of the last 20 streams" in caplog.text
    assert await monitor.incidents(IncidentFilter()) == []


async def test_a_second_opinion_stands_with_its_incident() -> None:
    """Also when it comes late; one on an incident that is gone is forgotten."""
    monitor = Monitor()
    for number in range(3):
        monitor.emit(stopped(number))
    opinion = SecondOpinion(opinion=Opinion.SICK, reason="perplexity 9000", tokens=64)
    await monitor.take_opinion(f"{request_id(1)}01", opinion)
    await monitor.take_opinion("long gone", opinion)
    kept = await monitor.incidents(IncidentFilter())
    assert [one.second_opinion for one in kept] == [None, opinion, None]


async def test_a_store_that_fails_costs_one_second_opinion(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And not the judge."""
    monitor = Monitor(UnreadableStore())
    with caplog.at_level(logging.CRITICAL, "specwatch.monitor"):
        await monitor.take_opinion("any", SecondOpinion(opinion=Opinion.SICK, reason="", tokens=1))
    name, labels = "specwatch_events_dropped_total", {"reason": "monitor_error"}
    assert monitor.metrics.registry.get_sample_value(name, labels) == 1


async def test_requests_that_never_end_are_bounded() -> None:
    """A data plane that loses an end must not fill the memory."""
    monitor = Monitor(open_request_limit=3)
    for number in range(10):
        monitor.emit(attempt_ended(number))
    assert await monitor.request(request_id(0)) is None
    assert await monitor.request(request_id(9)) is not None
    name, labels = "specwatch_events_dropped_total", {"reason": "open_request_limit"}
    assert monitor.metrics.registry.get_sample_value(name, labels) == 7


async def test_running_starts_and_closes_the_store() -> None:
    """Also when what runs meanwhile fails."""
    monitor = Monitor()
    with pytest.raises(RuntimeError, match="stop"):
        async with monitor.running():
            raise RuntimeError("stop")
