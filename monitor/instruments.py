"""Prometheus instruments for entries of the catalog. Knows no metric by name."""

from collections.abc import Iterable
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from monitor.catalog.metric import Metric, MetricType

Instrument: TypeAlias = Counter | Gauge | Histogram
Exemplar: TypeAlias = dict[str, str]


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


class Instruments:
    """Those that events move, by their entry."""

    def __init__(self, metrics: Iterable[Metric], registry: CollectorRegistry) -> None:
        self._by_name = {one.name: build_instrument(one, registry) for one in metrics}

    def of(self, metric: Metric) -> Instrument:
        """The instrument of an entry."""
        return self._by_name[metric.name]

    def count(
        self, metric: Metric, amount: float, labels: tuple[str, ...], exemplar: Exemplar | None
    ) -> None:
        """Adds to a counter."""
        counter = self.of(metric)
        assert isinstance(counter, Counter)
        (counter.labels(*labels) if labels else counter).inc(amount, exemplar)

    def observe(
        self, metric: Metric, value: float, labels: tuple[str, ...], exemplar: Exemplar | None
    ) -> None:
        """Puts a value into a histogram."""
        histogram = self.of(metric)
        assert isinstance(histogram, Histogram)
        (histogram.labels(*labels) if labels else histogram).observe(value, exemplar)
