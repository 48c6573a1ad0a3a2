"""The sink that the data plane talks to."""

import logging
import time

import pytest

from detectors.draft_health import DraftState
from monitor.engine_metrics.names import Quantity
from monitor.engine_metrics.reading import Reading
from monitor.judge.opinion import Opinion, SecondOpinion
from monitor.monitor import Monitor
from monitor.records import IncidentFilter
from monitor.store.memory import MemoryStore
from retry_proxy.events import Event, RequestOutcome
from tests.monitor.events import (
    REPLICA_A,
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
    name, labels = "specwatch_events_dropped_total", {"outcome": "monitor_error"}
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


async def test_an_incident_learns_how_its_request_went_on() -> None:
    """All attempts and what the client got, in the incident itself: other proxies read it too."""
    monitor = Monitor()
    monitor.emit(stopped(1, 1))
    (early,) = await monitor.incidents(IncidentFilter())
    monitor.emit(attempt_ended(1, 2))
    monitor.emit(request_ended(1, outcome=RequestOutcome.RETRIED_CLEAN, attempts=2))
    (late,) = await monitor.incidents(IncidentFilter())
    assert early.request is None
    assert late.request is not None
    assert late.request.outcome is RequestOutcome.RETRIED_CLEAN
    assert [one.outcome for one in late.request.attempts] == ["anomaly", "completed"]


async def test_an_opinion_that_comes_before_the_end_of_the_request_stays() -> None:
    """The end writes the incident anew."""
    monitor = Monitor()
    monitor.emit(stopped(1))
    opinion = SecondOpinion(opinion=Opinion.SICK, reason="perplexity 9000", tokens=64)
    await monitor.take_opinion(f"{request_id(1)}01", opinion)
    monitor.emit(request_ended(1))
    (kept,) = await monitor.incidents(IncidentFilter())
    assert kept.second_opinion == opinion
    assert kept.request is not None


async def test_what_the_engine_told_at_the_time_is_kept() -> None:
    """And not what it tells later."""
    monitor = Monitor()
    waiting = Reading({Quantity.WAITING: 40.0})
    monitor.engines.take(REPLICA_A, "sglang", waiting, time.monotonic())
    monitor.emit(stopped(1, recent_steps=bytes([2, 0, 0])))
    monitor.engines.take(REPLICA_A, "sglang", Reading({Quantity.WAITING: 0.0}), time.monotonic())
    (kept,) = await monitor.incidents(IncidentFilter())
    assert kept.engine_then is not None
    assert kept.engine_then.own.waiting == 40
    assert kept.engine_then.age_seconds is not None
    assert kept.steps is not None
    assert kept.steps.accepted == "200"


async def test_text_is_kept_without_secrets() -> None:
    """Before any store sees it."""
    store = MemoryStore(clock=lambda: 1010.0)
    monitor = Monitor(store)
    monitor.emit(stopped(1, text_sample="mail jane@example.org about it"))
    kept = await store.incident(f"{request_id(1)}01")
    assert kept is not None
    assert kept.text_sample == "mail [e-mail] about it"


async def test_a_store_that_fails_costs_one_second_opinion(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And not the judge."""
    monitor = Monitor(UnreadableStore())
    with caplog.at_level(logging.CRITICAL, "specwatch.monitor"):
        await monitor.take_opinion("any", SecondOpinion(opinion=Opinion.SICK, reason="", tokens=1))
    name, labels = "specwatch_events_dropped_total", {"outcome": "monitor_error"}
    assert monitor.metrics.registry.get_sample_value(name, labels) == 1


async def test_requests_that_never_end_are_bounded() -> None:
    """A data plane that loses an end must not fill the memory."""
    monitor = Monitor(open_request_limit=3)
    for number in range(10):
        monitor.emit(attempt_ended(number))
    assert await monitor.request(request_id(0)) is None
    assert await monitor.request(request_id(9)) is not None
    name, labels = "specwatch_events_dropped_total", {"outcome": "open_request_limit"}
    assert monitor.metrics.registry.get_sample_value(name, labels) == 7


async def test_running_starts_and_closes_the_store() -> None:
    """Also when what runs meanwhile fails."""
    monitor = Monitor()
    with pytest.raises(RuntimeError, match="stop"):
        async with monitor.running():
            raise RuntimeError("stop")
