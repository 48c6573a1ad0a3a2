"""Turns events into the numbers of the catalog. One registry per instance, no globals."""

import platform

from prometheus_client import CollectorRegistry, Gauge

from detectors.verdict import Verdict
from monitor.catalog import CATALOG, Metric, detection, fleet, process, traffic
from monitor.exposition import Exposition, expose
from monitor.instruments import Exemplar, Instruments
from monitor.labels import BoundedNames
from monitor.records import AttemptFacts, accept_length, accept_rate
from monitor.version import VERSION
from retry_proxy.events import (
    AttemptEnded,
    AttemptOutcome,
    FleetTroubled,
    ReplicaChanged,
    RequestEnded,
    RequestOutcome,
    RequestUnwatched,
)

MODEL_LIMIT = 50
REPLICA_LIMIT = 500
POSITION_LIMIT = 8

# What a second or later attempt came to.
RETRY_OUTCOME = {
    AttemptOutcome.COMPLETED: "clean",
    AttemptOutcome.MARKED: "marked",
    AttemptOutcome.ANOMALY: "anomaly_again",
    AttemptOutcome.CONNECT_FAILED: "failed",
    AttemptOutcome.UPSTREAM_ERROR: "failed",
    AttemptOutcome.REJECTED: "rejected",
    AttemptOutcome.CLIENT_GONE: "client_gone",
    AttemptOutcome.OUTRUN: "outrun",
}

# A model name counts as real once a replica has answered for it.
NAMES_A_REAL_MODEL = {RequestOutcome.CLEAN, RequestOutcome.RETRIED_CLEAN, RequestOutcome.MARKED}
RAN = {AttemptOutcome.COMPLETED, AttemptOutcome.MARKED, AttemptOutcome.ANOMALY}
FAILED = {AttemptOutcome.CONNECT_FAILED, AttemptOutcome.UPSTREAM_ERROR}


def trace_of(event: AttemptEnded | RequestEnded) -> Exemplar:
    """The exemplar of one request: its trace, whose id is the request's unless a client gave one.

    A trace that is kept nowhere is named all the same: without tracing the id leads to
    ``/api/requests/ID``.
    """
    return {"trace_id": event.request_id if event.trace is None else event.trace.trace_id}


class Metrics:
    """The counters and histograms that events move; collectors pull the rest.

    Attributes:
        max_held_bytes: bound of the hold-back, to tell how near a stream came to it; ``None``
            until it is known.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.models = BoundedNames(MODEL_LIMIT)
        self.replicas = BoundedNames(REPLICA_LIMIT)
        self.max_held_bytes: int | None = None
        self._moved = Instruments((one for one in CATALOG if not one.is_pulled), self.registry)
        self.set_info(process.BUILD_INFO, VERSION, platform.python_version())

    def attempt_ended(self, event: AttemptEnded) -> None:
        """Count one attempt."""
        replica, trace = self.replicas.label(event.replica), trace_of(event)
        self._count(traffic.ATTEMPTS, 1, event.engine, event.outcome.value)
        self._count(fleet.REPLICA_ATTEMPTS, 1, replica)
        if event.outcome in FAILED:
            self._count(fleet.REPLICA_FAILURES, 1, replica)
        if event.attempt > 1:
            metric = traffic.HEDGES if event.is_hedge else traffic.RETRIES
            self._count(metric, 1, RETRY_OUTCOME[event.outcome])
        self._waste(event)
        if event.verdict is not None:
            model = self.models.label(event.model, may_learn=event.outcome in RAN)
            self._verdict(event.verdict, replica, model, event.leaked_tokens, trace)
        if event.completion_tokens > 0:
            signal = "text" if event.steps is None else "acceptance"
            self._count(detection.INSPECTED_ATTEMPTS, 1, signal)
            self._count(detection.INSPECTED_TOKENS, event.completion_tokens)
        if event.outcome in RAN:
            self._held(event)
            self._acceptance(event, replica, self.models.label(event.model))

    def request_ended(self, event: RequestEnded, first: AttemptFacts | None = None) -> None:
        """Count one request.

        Args:
            first: its first attempt, if it had one.
        """
        is_real = event.outcome in NAMES_A_REAL_MODEL
        model = self.models.label(event.model, may_learn=is_real)
        trace = trace_of(event)
        self._count(traffic.REQUESTS, 1, model, event.outcome.value)
        self._count(traffic.COMPLETION_TOKENS, event.completion_tokens, model)
        self._count(traffic.CLIENT_STALL, event.client_stall_seconds)
        self._observe(traffic.REQUEST_DURATION, event.duration_seconds, model, trace=trace)
        reason = bad_output(event)
        if reason is not None:
            self._count(traffic.BAD_OUTPUT, 1, model, reason, trace=trace)
        if is_real:
            self._observe(traffic.ADDED_DELAY, event.added_delay_seconds, trace=trace)
        if first is not None:
            overhead = max(0.0, first.started_at - event.started_at)  # a clock may be set back
            self._observe(traffic.OVERHEAD, overhead, trace=trace)
        if event.time_to_first_byte_seconds is not None:
            self._first_byte(event, event.time_to_first_byte_seconds, model, trace)
        if event.retry_refused is not None:
            self._count(traffic.RETRIES_REFUSED, 1, event.retry_refused)

    def request_unwatched(self, event: RequestUnwatched) -> None:
        """Count a request that nobody watched."""
        self._count(traffic.UNWATCHED, 1, event.reason)

    def replica_changed(self, event: ReplicaChanged) -> None:
        """Count a change of state; the state itself is pulled from the fleet."""
        self._count(fleet.REPLICA_CHANGES, 1, self.replicas.label(event.replica))

    def fleet_troubled(self, event: FleetTroubled) -> None:
        """Count a trouble of the fleet."""
        self._count(fleet.FLEET_TROUBLES, 1, event.kind.value)

    def dropped(self, reason: str) -> None:
        """Count an event that was lost."""
        self._count(process.EVENTS_DROPPED, 1, reason)

    def loop_lag(self, seconds: float) -> None:
        """Note by how much the event loop was late."""
        self._observe(process.LOOP_LAG, seconds)

    def set_info(self, metric: Metric, *labels: str) -> None:
        """Tell a fact by its labels."""
        gauge = self._moved.of(metric)
        assert isinstance(gauge, Gauge)
        gauge.labels(*labels).set(1.0)

    def exposition(self, accept: str = "") -> Exposition:
        """What Prometheus scrapes; with exemplars if it asks for OpenMetrics."""
        return expose(self.registry, accept)

    def _verdict(
        self, verdict: Verdict, replica: str, model: str, leaked_tokens: int, trace: Exemplar
    ) -> None:
        kind = verdict.kind.value
        self._count(detection.ANOMALIES, 1, kind, replica, trace=trace)
        self._count(detection.DETECTIONS, 1, kind, verdict.detector, model)
        self._observe(detection.DETECTOR_SCORE, verdict.score, verdict.detector, trace=trace)
        tokens = max(0, verdict.alarm_token - verdict.onset_token)
        self._observe(detection.DETECTION_TOKENS, tokens, kind, trace=trace)
        if leaked_tokens > 0:
            self._count(detection.LEAKED_TOKENS, leaked_tokens, kind)

    def _waste(self, event: AttemptEnded) -> None:
        if event.wasted_tokens == 0:
            return
        share = event.wasted_tokens / max(event.wasted_tokens, event.completion_tokens)
        self._count(traffic.WASTED_TOKENS, event.wasted_tokens, event.outcome.value)
        self._count(traffic.WASTED_SECONDS, event.duration_seconds * share, event.outcome.value)

    def _held(self, event: AttemptEnded) -> None:
        self._observe(traffic.HELD, event.held_seconds)
        self._observe(traffic.HELD_TOKENS, event.most_held_tokens)
        if self.max_held_bytes is not None:
            self._observe(traffic.HELD_SHARE, event.most_held_bytes / self.max_held_bytes)

    def _acceptance(self, event: AttemptEnded, replica: str, model: str) -> None:
        trace = trace_of(event)
        length = accept_length(event.steps, event.accepted)
        if length is not None:
            self._observe(detection.ACCEPT_LENGTH, length, model, trace=trace)
            self._count(detection.STEPS, event.steps or 0, replica)
            self._count(detection.ACCEPTED, event.accepted or 0, replica)
        rate = accept_rate(event.drafted, event.accepted)
        if rate is not None:
            self._observe(detection.ACCEPT_RATE, rate, model)
            self._count(detection.DRAFTED, event.drafted or 0, replica)
        if event.accepted_per_step:
            self._positions(event.accepted_per_step, model)

    def _positions(self, accepted_per_step: bytes, model: str) -> None:
        self._count(detection.POSITION_STEPS, len(accepted_per_step), model)
        for position in range(1, min(POSITION_LIMIT, max(accepted_per_step)) + 1):
            reached = sum(accepted >= position for accepted in accepted_per_step)
            self._count(detection.POSITION_ACCEPTED, reached, model, str(position))

    def _first_byte(self, event: RequestEnded, seconds: float, model: str, trace: Exemplar) -> None:
        self._observe(traffic.TIME_TO_FIRST_BYTE, seconds, model, trace=trace)
        if event.is_streaming and event.completion_tokens > 1:
            between = (event.duration_seconds - seconds) / (event.completion_tokens - 1)
            self._observe(traffic.BETWEEN_TOKENS, max(0.0, between), model, trace=trace)

    def _count(
        self, metric: Metric, amount: float, *labels: str, trace: Exemplar | None = None
    ) -> None:
        self._moved.count(metric, amount, labels, trace)

    def _observe(
        self, metric: Metric, value: float, *labels: str, trace: Exemplar | None = None
    ) -> None:
        self._moved.observe(metric, value, labels, trace)


def bad_output(event: RequestEnded) -> str | None:
    """How the client got bad tokens, ``None`` if it got none."""
    if event.outcome is RequestOutcome.MARKED:
        return "marked"
    return "leaked" if event.leaked_tokens > 0 else None
