"""What the page is told of streams, replicas and incidents: numbers and names, no text."""

from monitor.engine_metrics.names import Quantity
from monitor.engine_metrics.state import EngineState
from monitor.page.difference import Row
from monitor.ports import ReplicaView
from monitor.recent import Counts
from monitor.records import Incident, accept_length, accept_rate
from retry_proxy.stream.running import RunningAttempt

STRIP_STEPS = 64
_NAME_CHARACTERS = 120  # a model's name is the client's word, and may be as long as its body


def stream_row(seen: RunningAttempt) -> Row:
    """One running attempt. ``strip``: accepted drafts of its last steps, two hex digits each."""
    return {
        "request_id": seen.request_id,
        "attempt": seen.attempt,
        "replica": seen.replica,
        "engine": seen.engine,
        "model": short(seen.model),
        "started_at": round(seen.started_at, 1),
        "is_hedge": seen.is_hedge,
        "tokens": seen.tokens,
        "held_tokens": seen.held_tokens,
        "accept_length": rounded(accept_length(seen.steps, seen.accepted)),
        "accept_rate": rounded(accept_rate(seen.drafted, seen.accepted)),
        "drafts": drafts_per_step(seen),
        "strip": seen.recent_steps[-STRIP_STEPS:].hex(),
        "steps_quality": seen.steps_quality,
        "is_watching": seen.is_watching,
        "kind": seen.kind,
    }


def replica_row(replica: ReplicaView, recent: Counts, engine: EngineState | None) -> Row:
    """One replica: what the fleet thinks of it, its last minute, what its engine tells."""
    reading = None if engine is None else engine.reading
    values = {} if reading is None else reading.values
    return {
        "state": replica.state,
        "engine": replica.engine,
        "version": replica.version,
        "models": [short(name) for name in replica.models[:8]],
        "in_flight": replica.in_flight,
        "outstanding_tokens": replica.outstanding_tokens,
        "attempts": replica.attempts,
        "anomalies": replica.anomalies,
        "recent_attempts": recent.attempts,
        "recent_anomalies": recent.anomalies,
        "recent_failures": recent.failures,
        "recent_tokens": recent.tokens,
        "accept_length": rounded(accept_length(recent.steps, recent.accepted)),
        "draft_health": replica.draft_health,
        "draft_reason": replica.draft_reason,
        "last_error": None if replica.last_error is None else short(replica.last_error, 300),
        "engine_running": values.get(Quantity.RUNNING),
        "engine_waiting": values.get(Quantity.WAITING),
        "cache_usage": rounded(values.get(Quantity.CACHE_USAGE)),
        "engine_error": None if engine is None else engine.error,
    }


def incident_row(incident: Incident) -> Row:
    """One line of the list; its details are asked for by its id."""
    facts, verdict, request = (
        incident.facts,
        incident.facts.verdict,
        getattr(incident, "request", None),
    )
    return {
        "request_id": incident.request_id,
        "at": round(incident.at, 3),
        "kind": incident.kind,
        "replica": facts.replica,
        "model": None if facts.model is None else short(facts.model),
        "attempt": facts.attempt,
        "outcome": facts.outcome,
        "request_outcome": None if request is None else request.outcome,
        "detector": None if verdict is None else verdict.detector,
        "onset_token": None if verdict is None else verdict.onset_token,
        "alarm_token": None if verdict is None else verdict.alarm_token,
        "leaked_tokens": facts.leaked_tokens,
        "accept_length": rounded(facts.accept_length),
    }


def drafts_per_step(seen: RunningAttempt) -> int | None:
    """As they are proposed; the last steps of an answer may have fewer."""
    if not seen.steps or seen.drafted is None:
        return None
    return round(seen.drafted / seen.steps)


def short(name: str, characters: int = _NAME_CHARACTERS) -> str:
    """A name that fits on a page."""
    return name if len(name) <= characters else name[: characters - 1] + "…"


def rounded(value: float | None) -> float | None:
    """To what can be read, so that noise in the last digit is no change."""
    return None if value is None else round(value, 2)
