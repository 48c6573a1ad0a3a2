"""What ``specwatch calibrate --proxy`` is given."""

from typing import Any

import msgspec
import pytest

from monitor.acceptance_log import PAGE, AcceptanceLog
from monitor.offline.reading import parse_line
from monitor.offline.recording import problem
from retry_proxy.events import AttemptEnded, AttemptOutcome
from tests.monitor.events import attempt_ended, verdict


def healthy(number: int, **changes: Any) -> AttemptEnded:
    values: dict[str, Any] = {"rid": f"r{number}", "steps": 40, "drafted": 120}
    values["accepted_per_step"] = bytes([3, 0, 1, 2] * 10)
    return attempt_ended(**{**values, **changes})


def test_pages_go_on_where_the_last_one_ended() -> None:
    log = AcceptanceLog()
    for number in range(PAGE + 20):
        log.take(healthy(number))
    first = log.page(0)
    second = log.page(first["next"])
    ids = [row["id"] for row in [*first["attempts"], *second["attempts"]]]
    assert ids == [f"r{number}" for number in range(PAGE + 20)]
    assert log.page(second["next"])["attempts"] == []
    assert log.page(second["next"])["next"] == second["next"]


@pytest.mark.parametrize(
    "changes",
    [
        {"verdict": verdict()},
        {"outcome": AttemptOutcome.MARKED},
        {"outcome": AttemptOutcome.CLIENT_GONE},
        {"accepted_per_step": b""},
        {"accepted_per_step": b"\x01" * 5},
    ],
    ids=["flagged", "marked", "client gone", "no acceptance", "too short"],
)
def test_what_must_not_teach_is_left_out(changes: dict[str, Any]) -> None:
    log = AcceptanceLog()
    log.take(healthy(1, **changes))
    assert log.page(0)["attempts"] == []


def test_it_forgets_the_oldest() -> None:
    log = AcceptanceLog(kept=3)
    for number in range(10):
        log.take(healthy(number))
    assert [row["id"] for row in log.page(0)["attempts"]] == ["r7", "r8", "r9"]


def test_a_row_is_a_recording() -> None:
    log = AcceptanceLog()
    log.take(healthy(1, temperature=0.7))
    record = parse_line(msgspec.json.encode(log.page(0)["attempts"][0]), "proxy", 1)
    assert problem(record) is None
    assert record.most_drafts == 3
    assert record.temperature == 0.7
    assert record.accepted_per_step == (3, 0, 1, 2) * 10
