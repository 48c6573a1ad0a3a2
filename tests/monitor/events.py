"""Events as the data plane emits them, with everything but the point of a test filled in."""

from typing import Any

from detectors.draft_health import DraftState
from detectors.verdict import AnomalyKind, Verdict
from retry_proxy.events import (
    AttemptEnded,
    AttemptOutcome,
    DraftHealthChanged,
    FleetTrouble,
    FleetTroubled,
    ReplicaChanged,
    ReplicaState,
    RequestEnded,
    RequestOutcome,
)

REPLICA_A = "http://127.0.0.1:30001"
REPLICA_B = "http://127.0.0.1:30002"


def request_id(number: int) -> str:
    """A request id; the same for the same number."""
    return f"{number:032x}"


def verdict(**changes: Any) -> Verdict:
    """A garbled generation, seen 40 tokens after its onset."""
    values: dict[str, Any] = {
        "kind": AnomalyKind.GARBLED,
        "detector": "acceptance",
        "score": 1.1,
        "onset_token": 90,
        "alarm_token": 130,
        "evidence": {"accept_length": 1.1},
    }
    return Verdict(**{**values, **changes})


def attempt_ended(number: int = 1, attempt: int = 1, **changes: Any) -> AttemptEnded:
    """A completed attempt of 200 tokens in 100 steps."""
    values: dict[str, Any] = {
        "request_id": request_id(number),
        "attempt": attempt,
        "rid": f"{request_id(number)}{attempt:02d}",
        "replica": REPLICA_A,
        "engine": "sglang",
        "model": "smollm2",
        "outcome": AttemptOutcome.COMPLETED,
        "started_at": 1000.0 + number,
        "duration_seconds": 2.0,
        "completion_tokens": 200,
        "steps": 100,
        "drafted": 300,
        "accepted": 100,
        "verdict": None,
        "released_tokens": 200,
        "leaked_tokens": 0,
        "wasted_tokens": 0,
        "held_seconds": 0.0,
    }
    return AttemptEnded(**{**values, **changes})


def stopped(number: int = 1, attempt: int = 1, **changes: Any) -> AttemptEnded:
    """An attempt stopped by a verdict."""
    values: dict[str, Any] = {
        "outcome": AttemptOutcome.ANOMALY,
        "verdict": verdict(),
        "completion_tokens": 130,
        "released_tokens": 95,
        "leaked_tokens": 5,
        "wasted_tokens": 35,
    }
    return attempt_ended(number, attempt, **{**values, **changes})


def request_ended(number: int = 1, **changes: Any) -> RequestEnded:
    """A request that was answered at once and well."""
    values: dict[str, Any] = {
        "request_id": request_id(number),
        "model": "smollm2",
        "route": "/v1/chat/completions",
        "outcome": RequestOutcome.CLEAN,
        "attempts": 1,
        "is_streaming": True,
        "started_at": 1000.0 + number,
        "duration_seconds": 2.5,
        "time_to_first_byte_seconds": 0.2,
        "added_delay_seconds": 0.0,
        "completion_tokens": 200,
        "leaked_tokens": 0,
        "wasted_tokens": 0,
    }
    return RequestEnded(**{**values, **changes})


def draft_health_changed(state: DraftState = DraftState.DEAD) -> DraftHealthChanged:
    """A replica whose drafter was found dead."""
    reason = "19 of the last 20 streams on this replica had an accept length under 1.60"
    return DraftHealthChanged(replica=REPLICA_A, state=state, reason=reason, at=1000.0)


def replica_changed(state: ReplicaState = ReplicaState.UNREACHABLE) -> ReplicaChanged:
    """A replica that refused a connection."""
    return ReplicaChanged(replica=REPLICA_A, state=state, reason="connection refused", at=1000.0)


def fleet_troubled(kind: FleetTrouble = FleetTrouble.ALL_SICK) -> FleetTroubled:
    """Most replicas show anomalies."""
    return FleetTroubled(kind=kind, reason="8 of 8 replicas show anomalies", at=1000.0)
