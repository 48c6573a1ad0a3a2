"""Numbers that the fleet, the store and the detectors keep, read when Prometheus scrapes."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from detectors.draft_health import DraftState
from monitor import catalog
from monitor.catalog import Metric
from monitor.labels import BoundedNames
from monitor.ports import DetectorErrorSource, ReplicaSource, Store
from retry_proxy.events import ReplicaState


def gauge(metric: Metric) -> GaugeMetricFamily:
    """An empty gauge family of the catalog."""
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)


def counter(metric: Metric) -> CounterMetricFamily:
    """An empty counter family of the catalog."""
    return CounterMetricFamily(metric.name, metric.help, labels=metric.labels)


class FleetCollector(Collector):
    """State and load of every replica."""

    def __init__(self, fleet: ReplicaSource, replicas: BoundedNames) -> None:
        self._fleet = fleet
        self._replicas = replicas

    def collect(self) -> Iterator[Family]:
        """One series per replica and state, and one per replica."""
        states, in_flight = gauge(catalog.REPLICA_STATE), gauge(catalog.IN_FLIGHT)
        drafters, outstanding = gauge(catalog.DRAFT_HEALTH), gauge(catalog.OUTSTANDING_TOKENS)
        for replica in self._fleet.snapshot():
            name = self._replicas.label(replica.address)
            for state in ReplicaState:
                states.add_metric((name, state.value), float(replica.state is state))
            in_flight.add_metric((name,), float(replica.in_flight))
            outstanding.add_metric((name,), float(replica.outstanding_tokens))
            if replica.draft_health is not DraftState.UNKNOWN:
                drafters.add_metric((name,), float(replica.draft_health is DraftState.HEALTHY))
        yield from (states, in_flight, outstanding, drafters)


class StoreCollector(Collector):
    """How the store is doing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Family]:
        """Three series."""
        health = self._store.health()
        up = gauge(catalog.STORE_UP)
        errors, dropped = counter(catalog.STORE_ERRORS), counter(catalog.STORE_DROPPED)
        up.add_metric((health.name,), float(health.is_up))
        errors.add_metric((health.name,), float(health.errors))
        dropped.add_metric((health.name,), float(health.dropped))
        yield from (up, errors, dropped)


class BaselinesCollector(Collector):
    """How the baselines are doing that proxies share."""

    def __init__(self, refused: Callable[[], int]) -> None:
        self._refused = refused

    def collect(self) -> Iterator[Family]:
        """One series."""
        family = counter(catalog.BASELINES_REFUSED)
        family.add_metric((), float(self._refused()))
        yield family


class DetectorCollector(Collector):
    """Crashes and time of detectors, which the hot path counts as plain numbers."""

    def __init__(self, errors: DetectorErrorSource, seconds: Callable[[], float]) -> None:
        self._errors = errors
        self._seconds = seconds

    def collect(self) -> Iterator[Family]:
        """One series per detector that ever crashed, and the time of all."""
        family = counter(catalog.DETECTOR_ERRORS)
        for detector, count in self._errors().items():
            family.add_metric((detector,), float(count))
        spent = counter(catalog.DETECTOR_SECONDS)
        spent.add_metric((), self._seconds())
        yield from (family, spent)
