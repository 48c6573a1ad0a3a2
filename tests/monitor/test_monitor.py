"""The sink that the data plane talks to."""

import logging

import pytest

from monitor.monitor import Monitor
from monitor.records import IncidentFilter
from retry_proxy.events import Event, RequestOutcome
from tests.monitor.events import (
    attempt_ended,
    replica_changed,
    request_ended,
    request_id,
    stopped,
)
from tests.monitor.fakes import BrokenStore


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
