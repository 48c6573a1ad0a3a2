"""What is kept of events."""

import math

import msgspec
import pytest

from monitor.records import Incident, accept_length, accept_rate, ended_record, incident_of
from tests.monitor.events import attempt_ended, request_ended, request_id, stopped, verdict


@pytest.mark.parametrize(
    ("steps", "accepted", "expected"),
    [(100, 100, 2.0), (100, 0, 1.0), (0, 0, None), (None, 5, None), (5, None, None)],
)
def test_accept_length(steps: int | None, accepted: int | None, expected: float | None) -> None:
    """The bonus token of each step counts; before the first step there is none."""
    assert accept_length(steps, accepted) == expected


@pytest.mark.parametrize(
    ("drafted", "accepted", "expected"),
    [(300, 150, 0.5), (300, 0, 0.0), (0, 0, None), (None, 5, None), (5, None, None)],
)
def test_accept_rate(drafted: int | None, accepted: int | None, expected: float | None) -> None:
    """No bonus token; nothing drafted is no rate."""
    assert accept_rate(drafted, accepted) == expected


def test_only_an_attempt_with_a_verdict_is_an_incident() -> None:
    """Named by the id that the engine's log has as well."""
    assert incident_of(attempt_ended()) is None
    incident = incident_of(stopped(number=7))
    assert incident is not None
    assert incident.id == f"{request_id(7)}01"
    assert incident.at == 1009.0


def test_records_survive_storing_with_odd_numbers() -> None:
    """A statistic may be infinite; the record must still be read back."""
    incident = incident_of(stopped(verdict=verdict(score=math.inf)))
    raw = msgspec.msgpack.encode(incident)
    assert msgspec.msgpack.decode(raw, type=Incident) == incident


def test_the_end_completes_the_story() -> None:
    """Attempts in order, and what the client got."""
    record = ended_record(request_ended(attempts=1), ())
    assert not record.is_running
    assert record.outcome == "clean"
