"""Turns events into the numbers of the catalog. One registry per instance, no globals."""

import platform
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from detectors.verdict import Verdict
from monitor import catalog
from monitor.catalog import Metric, MetricType
from monitor.labels import BoundedNames
from monitor.records import accept_length, accept_rate
from monitor.version import VERSION
from retry_proxy.events import (
    AttemptEnded,
    AttemptOutcome,
    FleetTroubled,
    ReplicaChanged,
    RequestEnded,
    RequestOutcome,
)

MODEL_LIMIT = 50
REPLICA_LIMIT = 500

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

Instrument: TypeAlias = Counter | Gauge | Histogram


def build_instrument(metric: Metric, registry: CollectorRegistry) -> Instrument:
    """The Prometheus instrument of one entry of the catalog."""
    labels = tuple(metric.labels)
    if metric.type is MetricType.COUNTER:
        return Counter(metric.name, metric.help, labels, registry=registry)
    if metric.type is MetricType.HISTOGRAM:
        return Histogram(
            metric.name, metric.help, labels, registry=registry, buckets=tuple(metric.buckets)
        )
    return Gauge(metric.name, metric.help, labels, registry=registry)


class Metrics:
    """The counters and histograms that events move; ``collector.py`` pulls the rest."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.models = BoundedNames(MODEL_LIMIT)
        self.replicas = BoundedNames(REPLICA_LIMIT)
        self._instruments = {
            metric.name: build_instrument(metric, self.registry)
            for metric in catalog.CATALOG
            if metric not in catalog.PULLED
        }
        self._set(catalog.BUILD_INFO, 1.0, VERSION, platform.python_version())

    def attempt_ended(self, event: AttemptEnded) -> None:
        """Count one attempt."""
        replica = self.replicas.label(event.replica)
        self._count(catalog.ATTEMPTS, 1, replica, event.engine, event.outcome.value)
        if event.attempt > 1:
            metric = catalog.HEDGES if event.is_hedge else catalog.RETRIES
            self._count(metric, 1, RETRY_OUTCOME[event.outcome])
        if event.wasted_tokens > 0:
            self._count(catalog.WASTED_TOKENS, event.wasted_tokens, event.outcome.value)
        if event.verdict is not None:
            self._verdict(event.verdict, replica, event.leaked_tokens)
        if event.outcome in RAN:
            model = self.models.label(event.model)
            self._observe(catalog.HELD, event.held_seconds, replica)
            self._acceptance(event, replica, model)

    def request_ended(self, event: RequestEnded) -> None:
        """Count one request."""
        model = self.models.label(event.model, may_learn=event.outcome in NAMES_A_REAL_MODEL)
        self._count(catalog.REQUESTS, 1, model, event.outcome.value)
        self._count(catalog.COMPLETION_TOKENS, event.completion_tokens, model)
        self._observe(catalog.REQUEST_DURATION, event.duration_seconds, model, event.outcome.value)
        if event.outcome in NAMES_A_REAL_MODEL:
            self._observe(catalog.ADDED_DELAY, event.added_delay_seconds, model)
        if event.time_to_first_byte_seconds is not None:
            self._observe(catalog.TIME_TO_FIRST_BYTE, event.time_to_first_byte_seconds, model)
        if event.retry_refused is not None:
            self._count(catalog.RETRIES_REFUSED, 1, event.retry_refused)

    def replica_changed(self, event: ReplicaChanged) -> None:
        """Count a change of state; the state itself is pulled from the fleet."""
        replica = self.replicas.label(event.replica)
        self._count(catalog.REPLICA_CHANGES, 1, replica, event.state.value)

    def fleet_troubled(self, event: FleetTroubled) -> None:
        """Count a trouble of the fleet."""
        self._count(catalog.FLEET_TROUBLES, 1, event.kind.value)

    def dropped(self, reason: str) -> None:
        """Count an event that was lost."""
        self._count(catalog.EVENTS_DROPPED, 1, reason)

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return generate_latest(WithoutCreated(self.registry))

    def _verdict(self, verdict: Verdict, replica: str, leaked_tokens: int) -> None:
        kind = verdict.kind.value
        self._count(catalog.ANOMALIES, 1, kind, replica, verdict.detector)
        detection_tokens = max(0, verdict.alarm_token - verdict.onset_token)
        self._observe(catalog.DETECTION_TOKENS, detection_tokens, kind)
        if leaked_tokens > 0:
            self._count(catalog.LEAKED_TOKENS, leaked_tokens, kind)

    def _acceptance(self, event: AttemptEnded, replica: str, model: str) -> None:
        length = accept_length(event.steps, event.accepted)
        if length is not None:
            self._observe(catalog.ACCEPT_LENGTH, length, replica, model)
        rate = accept_rate(event.drafted, event.accepted)
        if rate is not None:
            self._observe(catalog.ACCEPT_RATE, rate, replica, model)

    def _count(self, metric: Metric, amount: float, *labels: str) -> None:
        counter = self._instruments[metric.name]
        assert isinstance(counter, Counter)
        counter.labels(*labels).inc(amount)

    def _observe(self, metric: Metric, value: float, *labels: str) -> None:
        histogram = self._instruments[metric.name]
        assert isinstance(histogram, Histogram)
        histogram.labels(*labels).observe(value)

    def _set(self, metric: Metric, value: float, *labels: str) -> None:
        gauge = self._instruments[metric.name]
        assert isinstance(gauge, Gauge)
        gauge.labels(*labels).set(value)


class WithoutCreated(Collector):
    """Leaves out the ``_created`` series, which would double the number of series for nothing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Family]:
        """The registry's families without those samples."""
        for family in self._registry.collect():
            kept = _without_created(family)
            family.samples = list(kept)
            yield family


def _without_created(family: Family) -> Iterable[Sample]:
    return (sample for sample in family.samples if not sample.name.endswith("_created"))
