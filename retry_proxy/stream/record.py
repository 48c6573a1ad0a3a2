"""The books of one request: what each attempt and the request itself came to, told as events."""

import time
from dataclasses import replace

from retry_proxy.decide.lifecycle import RequestState
from retry_proxy.engines.adapter import FinalCounters
from retry_proxy.engines.call import GenerationCall
from retry_proxy.events import (
    AttemptEnded,
    AttemptOutcome,
    EventSink,
    RequestEnded,
    RequestOutcome,
    StepsQuality,
)
from retry_proxy.stream.attempt import Attempt
from retry_proxy.stream.ending import AttemptEnd, EndKind
from retry_proxy.stream.holdback import HoldBack
from retry_proxy.stream.running import RunningAttempt
from retry_proxy.stream.text_tail import TextSink
from retry_proxy.trace_context import TraceContext

_OUTCOMES = {
    EndKind.COMPLETED: AttemptOutcome.COMPLETED,
    EndKind.STOPPED: AttemptOutcome.ANOMALY,
    EndKind.CONNECT_FAILED: AttemptOutcome.CONNECT_FAILED,
    EndKind.FAILED: AttemptOutcome.UPSTREAM_ERROR,
    EndKind.REJECTED: AttemptOutcome.REJECTED,
    EndKind.OUTRUN: AttemptOutcome.OUTRUN,
}
# A finding, or an end without one; what was cut off tells nothing.
_WORTH_READING = (AttemptOutcome.COMPLETED, AttemptOutcome.MARKED, AttemptOutcome.ANOMALY)


class RequestRecord:
    """Numbers of one request."""

    def __init__(
        self,
        sink: EventSink,
        text_sink: TextSink | None,
        call: GenerationCall,
        request_id: str,
        hold: HoldBack,
        trace: TraceContext | None = None,
    ) -> None:
        self.sink = sink
        self.text_sink = text_sink
        self.call = call
        self.request_id = request_id
        self.hold = hold
        self.trace = trace
        self.started_at = time.time()
        self._started = time.monotonic()
        self.attempt_started: float | None = None
        self.lost_seconds = 0.0
        self.leaked_tokens = 0
        self.wasted_tokens = 0
        self.retry_refused: str | None = None
        self.hedges = 0
        self.is_marked = False
        self.is_rejected = False
        self.first_byte_at: float | None = None
        self.client_stall_seconds = 0.0

    def start_attempt(
        self, number: int, rid: str, replica: str, *, is_hedge: bool = False
    ) -> "AttemptRecord":
        """An attempt is dispatched, in place of the last one or beside it."""
        now = time.monotonic()
        if is_hedge:
            self.hedges += 1
            return AttemptRecord(self, number, rid, replica, is_hedge=True)
        if self.attempt_started is not None:
            # What the client waited for nothing: since the last attempt began, or since its last
            # text.
            last_progress = max(self.attempt_started, self.hold.last_release_at or 0.0)
            self.lost_seconds += now - last_progress
        self.attempt_started = now
        return AttemptRecord(self, number, rid, replica)

    def end(self, state: RequestState, attempts: int) -> None:
        """The request is over."""
        now = time.monotonic()
        first_byte = None if self.first_byte_at is None else self.first_byte_at - self._started
        held_seconds = self.hold.longest_hold_seconds if self.call.is_streaming else 0.0
        self.sink.emit(
            RequestEnded(
                request_id=self.request_id,
                model=self.call.model,
                route=self.call.route.value,
                outcome=self._outcome(state, attempts),
                attempts=attempts,
                is_streaming=self.call.is_streaming,
                started_at=self.started_at,
                duration_seconds=now - self._started,
                time_to_first_byte_seconds=first_byte,
                added_delay_seconds=self.lost_seconds + held_seconds,
                completion_tokens=self.hold.released_tokens,
                leaked_tokens=self.leaked_tokens,
                wasted_tokens=self.wasted_tokens,
                retry_refused=self.retry_refused,
                client_stall_seconds=self.client_stall_seconds,
                trace=self.trace,
            )
        )

    def _outcome(self, state: RequestState, attempts: int) -> RequestOutcome:
        if state is RequestState.ABANDONED:
            return RequestOutcome.CLIENT_GONE
        if state is not RequestState.ANSWERED:
            return RequestOutcome.REJECTED if self.is_rejected else RequestOutcome.ERROR
        if self.is_marked:
            return RequestOutcome.MARKED
        return RequestOutcome.CLEAN if attempts - self.hedges == 1 else RequestOutcome.RETRIED_CLEAN


class AttemptRecord:
    """Numbers of one attempt."""

    def __init__(
        self,
        request: RequestRecord,
        number: int,
        rid: str,
        replica: str,
        *,
        is_hedge: bool = False,
    ) -> None:
        self._request = request
        self._number = number
        self._rid = rid
        self._replica = replica
        self._started_at = time.time()
        self._started = time.monotonic()
        self._is_hedge = is_hedge
        self.engine = "unknown"
        self.trace = None if request.trace is None else request.trace.child()

    def note_ahead(self) -> None:
        """The client gets this one's answer: what it waited before was for nothing."""
        if self._is_hedge and self._request.attempt_started is not None:
            self._request.lost_seconds += self._started - self._request.attempt_started
            self._request.attempt_started = self._started

    def seen(self, attempt: Attempt | None) -> RunningAttempt:
        """The attempt while it runs; ``attempt`` is ``None`` until it reached its engine."""
        request = self._request
        plain = RunningAttempt(
            rid=self._rid,
            request_id=request.request_id,
            attempt=self._number,
            replica=self._replica,
            engine=self.engine,
            model=request.call.model,
            started_at=self._started_at,
            is_hedge=self._is_hedge,
        )
        if attempt is None:
            return plain
        counters = counters_of(attempt)
        recent, quality = attempt.steps.recent()
        hold = request.hold
        return replace(
            plain,
            tokens=attempt.totals.tokens,
            held_tokens=max(0, hold.attempt_tokens - hold.attempt_released_tokens),
            steps=counters.steps,
            drafted=counters.drafted,
            accepted=counters.accepted,
            recent_steps=recent,
            steps_quality=quality,
            is_watching=attempt.is_watching,
            kind=None if attempt.verdict is None else attempt.verdict.kind,
        )

    def end(self, end: AttemptEnd | None, attempt: Attempt | None) -> None:
        """The attempt is over; ``end`` is ``None`` if the client left.

        ``attempt`` if it never ran.
        """
        request = self._request
        outcome = _outcome(end, attempt)
        is_whole = outcome in (AttemptOutcome.COMPLETED, AttemptOutcome.MARKED)
        tokens = 0 if attempt is None else attempt.totals.tokens
        released = 0
        if attempt is not None:
            released = tokens if is_whole else request.hold.attempt_released_tokens
        wasted = max(0, tokens - released)
        leaked = 0 if attempt is None else attempt.leaked_tokens
        request.leaked_tokens += leaked
        request.wasted_tokens += wasted
        request.is_marked = outcome is AttemptOutcome.MARKED
        now = time.monotonic()
        counters = counters_of(attempt)
        is_held = attempt is not None and request.call.is_streaming
        error = None if end is None or end.error is None else f"{end.error.reason}: {end.error}"
        recent, quality = _recent_steps(attempt)
        request.sink.emit(
            AttemptEnded(
                request_id=request.request_id,
                attempt=self._number,
                rid=self._rid,
                replica=self._replica,
                engine=self.engine,
                model=request.call.model,
                outcome=outcome,
                started_at=self._started_at,
                duration_seconds=now - self._started,
                completion_tokens=tokens,
                steps=counters.steps,
                drafted=counters.drafted,
                accepted=counters.accepted,
                verdict=None if attempt is None else attempt.verdict,
                released_tokens=released,
                leaked_tokens=leaked,
                wasted_tokens=wasted,
                held_seconds=self._held_seconds(attempt, now),
                error=error,
                text_sample=None if attempt is None else attempt.kept.sample(attempt.verdict),
                accepted_per_step=b"" if attempt is None else bytes(attempt.steps.exact),
                temperature=request.call.temperature,
                is_hedge=self._is_hedge,
                prompt_tokens=None if attempt is None else attempt.totals.prompt_tokens,
                most_held_tokens=request.hold.most_held_tokens if is_held else 0,
                most_held_bytes=request.hold.most_held_bytes if is_held else 0,
                recent_steps=recent,
                steps_quality=quality,
                trace=self.trace,
                route=request.call.route.value,
            )
        )

        if attempt is not None and outcome in _WORTH_READING:
            self._hand_over_text(attempt)

    def _hand_over_text(self, attempt: Attempt) -> None:
        sink = self._request.text_sink
        text = attempt.kept.ended(self._rid, attempt.verdict)
        if sink is not None and text is not None and text.text:
            sink.ended(text)

    def _held_seconds(self, attempt: Attempt | None, now: float) -> float:
        if attempt is None or not self._request.call.is_streaming:
            return 0.0
        return self._request.hold.attempt_hold_seconds(now)


def _outcome(end: AttemptEnd | None, attempt: Attempt | None) -> AttemptOutcome:
    if end is None:
        return AttemptOutcome.CLIENT_GONE
    is_marked = attempt is not None and attempt.verdict is not None
    if end.kind is EndKind.COMPLETED and is_marked:
        return AttemptOutcome.MARKED
    return _OUTCOMES[end.kind]


def _recent_steps(attempt: Attempt | None) -> tuple[bytes, StepsQuality]:
    """Copied only for an incident."""
    if attempt is None or attempt.verdict is None:
        return b"", StepsQuality.EXACT
    return attempt.steps.recent()


def counters_of(attempt: Attempt | None) -> FinalCounters:
    """The engine's own numbers where it told them, else the sums of what was seen."""
    if attempt is None:
        return FinalCounters()
    if attempt.final is not None:
        return attempt.final
    totals = attempt.totals
    return FinalCounters(steps=totals.steps, drafted=totals.drafted, accepted=totals.accepted)
