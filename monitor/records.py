"""What is kept of attempts and requests: numbers and names, as they are stored and served."""

import msgspec

from detectors.verdict import AnomalyKind, Verdict
from monitor.incidents.engine_then import EngineThen
from monitor.incidents.redact import redacted
from monitor.incidents.steps import StepSeries, step_series
from monitor.judge.opinion import SecondOpinion
from retry_proxy.events import AttemptEnded, AttemptOutcome, RequestEnded, RequestOutcome


class AttemptFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One dispatch of a request to one replica, after its end. Fields as in ``AttemptEnded``.

    ``None`` also where another version wrote the record and did not say.
    """

    attempt: int
    rid: str
    replica: str
    outcome: AttemptOutcome
    started_at: float
    engine: str | None = None
    model: str | None = None
    duration_seconds: float | None = None
    completion_tokens: int | None = None
    steps: int | None = None
    drafted: int | None = None
    accepted: int | None = None
    accept_length: float | None = None
    accept_rate: float | None = None
    released_tokens: int | None = None
    leaked_tokens: int | None = None
    wasted_tokens: int | None = None
    held_seconds: float | None = None
    error: str | None = None
    verdict: Verdict | None = None
    prompt_tokens: int | None = None
    temperature: float | None = None
    is_hedge: bool = False


class RequestRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The story of one request. What is known only at its end is ``None`` while it runs."""

    request_id: str
    model: str | None = None
    attempts: tuple[AttemptFacts, ...] = ()
    is_running: bool = False
    route: str | None = None
    outcome: RequestOutcome | None = None
    is_streaming: bool | None = None
    started_at: float | None = None
    duration_seconds: float | None = None
    time_to_first_byte_seconds: float | None = None
    added_delay_seconds: float | None = None
    completion_tokens: int | None = None
    leaked_tokens: int | None = None
    wasted_tokens: int | None = None
    retry_refused: str | None = None


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt with a verdict, and what is needed to look into it later.

    Attributes:
        id: the attempt's ``rid``, by which the engine's log knows it as well.
        at: unix time of the attempt's end, seconds.
        text_sample: only where evidence capture is switched on; redacted, and gone after a while.
        second_opinion: the judge's, once it came; only with ``--judge``.
        steps: accepted drafts of the steps around the alarm, where the engine tells them.
        engine_then: the engine's own numbers at that time, where they could be had.
        request: the story of its request with all attempts, once that has ended.
    """

    id: str
    request_id: str
    at: float
    kind: AnomalyKind
    facts: AttemptFacts
    text_sample: str | None = None
    second_opinion: SecondOpinion | None = None
    steps: StepSeries | None = None
    engine_then: EngineThen | None = None
    request: RequestRecord | None = None


class IncidentFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which incidents are wanted, newest first. ``None`` means any."""

    limit: int = 50
    kind: AnomalyKind | None = None
    replica: str | None = None
    model: str | None = None
    since: float | None = None

    def accepts(self, incident: Incident) -> bool:
        """Whether ``incident`` is one of those wanted; the limit is not looked at."""
        return (
            (self.kind is None or incident.kind is self.kind)
            and (self.replica is None or incident.facts.replica == self.replica)
            and (self.model is None or incident.facts.model == self.model)
            and (self.since is None or incident.at >= self.since)
        )


def accept_length(steps: int | None, accepted: int | None) -> float | None:
    """Tokens out per verification step, bonus token included; ``None`` before the first step."""
    if steps is None or accepted is None or steps == 0:
        return None
    return (steps + accepted) / steps


def accept_rate(drafted: int | None, accepted: int | None) -> float | None:
    """Share of the drafts that were kept; ``None`` where nothing was drafted."""
    if drafted is None or accepted is None or drafted == 0:
        return None
    return accepted / drafted


def attempt_facts(event: AttemptEnded) -> AttemptFacts:
    """What is kept of one attempt."""
    return AttemptFacts(
        attempt=event.attempt,
        rid=event.rid,
        replica=event.replica,
        engine=event.engine,
        model=event.model,
        outcome=event.outcome,
        started_at=event.started_at,
        duration_seconds=event.duration_seconds,
        completion_tokens=event.completion_tokens,
        steps=event.steps,
        drafted=event.drafted,
        accepted=event.accepted,
        accept_length=accept_length(event.steps, event.accepted),
        accept_rate=accept_rate(event.drafted, event.accepted),
        released_tokens=event.released_tokens,
        leaked_tokens=event.leaked_tokens,
        wasted_tokens=event.wasted_tokens,
        held_seconds=event.held_seconds,
        error=event.error,
        verdict=event.verdict,
        prompt_tokens=event.prompt_tokens,
        temperature=event.temperature,
        is_hedge=event.is_hedge,
    )


def incident_of(event: AttemptEnded, engine: EngineThen | None = None) -> Incident | None:
    """The incident that an attempt was, if it had a verdict.

    Args:
        engine: the replica's own numbers.
    """
    verdict = event.verdict
    if verdict is None:
        return None
    text, tokens = event.text_sample, event.completion_tokens
    return Incident(
        id=event.rid,
        request_id=event.request_id,
        at=event.started_at + event.duration_seconds,
        kind=verdict.kind,
        facts=attempt_facts(event),
        text_sample=None if text is None else redacted(text),
        steps=step_series(event.recent_steps, event.steps_quality, tokens, verdict),
        engine_then=engine,
    )


def running_record(
    request_id: str, model: str | None, attempts: tuple[AttemptFacts, ...]
) -> RequestRecord:
    """What is known of a request that has not ended."""
    return RequestRecord(request_id=request_id, model=model, attempts=attempts, is_running=True)


def ended_record(event: RequestEnded, attempts: tuple[AttemptFacts, ...]) -> RequestRecord:
    """The whole story of a request."""
    return RequestRecord(
        request_id=event.request_id,
        model=event.model,
        attempts=attempts,
        is_running=False,
        route=event.route,
        outcome=event.outcome,
        is_streaming=event.is_streaming,
        started_at=event.started_at,
        duration_seconds=event.duration_seconds,
        time_to_first_byte_seconds=event.time_to_first_byte_seconds,
        added_delay_seconds=event.added_delay_seconds,
        completion_tokens=event.completion_tokens,
        leaked_tokens=event.leaked_tokens,
        wasted_tokens=event.wasted_tokens,
        retry_refused=event.retry_refused,
    )
