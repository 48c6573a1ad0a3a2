"""Numbers that the fleet, the store and the detectors keep, read when Prometheus scrapes."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from detectors.draft_health import DraftState
from monitor.catalog import Metric, detection, fleet, process, traffic
from monitor.labels import BoundedNames
from monitor.own_process import memory_limit_bytes, resident_bytes
from monitor.ports import DetectorErrorSource, ReplicaSource, Store
from retry_proxy.events import ReplicaState

# Left alone for failures or anomalies; they count against the most that may be.
EJECTED = (ReplicaState.TRIPPED, ReplicaState.QUARANTINED, ReplicaState.PROBING)


def gauge(metric: Metric) -> GaugeMetricFamily:
    """An empty gauge family of the catalog."""
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)


def counter(metric: Metric) -> CounterMetricFamily:
    """An empty counter family of the catalog."""
    return CounterMetricFamily(metric.name, metric.help, labels=metric.labels)


def one_gauge(metric: Metric, value: float) -> GaugeMetricFamily:
    """A gauge family with one series and no labels."""
    family = gauge(metric)
    family.add_metric((), value)
    return family


class FleetCollector(Collector):
    """State and load of every replica."""

    def __init__(self, source: ReplicaSource, replicas: BoundedNames) -> None:
        self._fleet = source
        self._replicas = replicas

    def collect(self) -> Iterator[Family]:
        """One series per replica, and one per state."""
        states, in_flight = gauge(fleet.REPLICA_STATE), gauge(fleet.IN_FLIGHT)
        drafters, outstanding = gauge(fleet.DRAFT_HEALTH), gauge(fleet.OUTSTANDING_TOKENS)
        counts: Counter[ReplicaState] = Counter()
        for replica in self._fleet.snapshot():
            name = (self._replicas.label(replica.address),)
            counts[replica.state] += 1
            states.add_metric(name, float(fleet.STATE_CODES[replica.state]))
            in_flight.add_metric(name, float(replica.in_flight))
            outstanding.add_metric(name, float(replica.outstanding_tokens))
            if replica.draft_health is not DraftState.UNKNOWN:
                drafters.add_metric(name, float(replica.draft_health is DraftState.HEALTHY))
        by_state = gauge(fleet.REPLICAS)
        for state in ReplicaState:
            by_state.add_metric((state.value,), float(counts[state]))
        ejected = one_gauge(fleet.EJECTED, float(sum(counts[state] for state in EJECTED)))
        yield from (states, by_state, ejected, in_flight, outstanding, drafters)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the configuration allows, and how much of it is left.

    Attributes:
        retry_budget_left: asked at each scrape.
    """

    max_ejected_share: float
    false_alarm_bound: float
    retry_budget_left: Callable[[], float]


def ejectable(share: float, replicas: int) -> int:
    """How many of the replicas may be left alone at once, by the fleet's own rule."""
    return 0 if share <= 0 else max(1, int(share * replicas))


class LimitsCollector(Collector):
    """The bounds beside which the fleet's numbers are read."""

    def __init__(self, limits: Limits, source: ReplicaSource) -> None:
        self._limits = limits
        self._fleet = source

    def collect(self) -> Iterator[Family]:
        """Three series."""
        allowed = ejectable(self._limits.max_ejected_share, len(self._fleet.snapshot()))
        yield one_gauge(fleet.EJECTABLE, float(allowed))
        yield one_gauge(detection.FALSE_ALARM_BOUND, self._limits.false_alarm_bound)
        yield one_gauge(traffic.RETRY_BUDGET, self._limits.retry_budget_left())


class StoreCollector(Collector):
    """How the store is doing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Family]:
        """Seven series, and one more if a record there could not be read."""
        health = self._store.health()
        up = gauge(process.STORE_UP)
        up.add_metric((health.name,), float(health.is_up))
        yield up
        told = {
            process.STORE_CALLS: health.calls,
            process.STORE_SECONDS: health.seconds,
            process.STORE_SLOW: health.slow_calls,
            process.STORE_ERRORS: health.errors,
            process.STORE_AWAY: health.away_seconds,
            process.STORE_DROPPED: health.dropped,
        }
        for metric, value in told.items():
            family = counter(metric)
            family.add_metric((health.name,), float(value))
            yield family
        unreadable = counter(process.STORE_UNREADABLE)
        if health.unreadable:
            unreadable.add_metric((health.name,), float(health.unreadable))
        yield unreadable


class BaselinesCollector(Collector):
    """How the baselines are doing that proxies share."""

    def __init__(self, refused: Callable[[], int]) -> None:
        self._refused = refused

    def collect(self) -> Iterator[Family]:
        """One series."""
        family = counter(process.BASELINES_REFUSED)
        family.add_metric((), float(self._refused()))
        yield family


class DetectorCollector(Collector):
    """What the hot path counts as plain numbers."""

    def __init__(self, errors: DetectorErrorSource, seconds: Callable[[], float]) -> None:
        self._errors = errors
        self._seconds = seconds

    def collect(self) -> Iterator[Family]:
        """One series per detector that ever crashed, and the time of all."""
        family = counter(detection.DETECTOR_ERRORS)
        for detector, count in self._errors().items():
            family.add_metric((detector,), float(count))
        spent = counter(detection.DETECTOR_SECONDS)
        spent.add_metric((), self._seconds())
        yield from (family, spent)


class MemoryCollector(Collector):
    """Memory of this process."""

    def collect(self) -> Iterator[Family]:
        """Two series; no first one where the system does not tell it."""
        resident = resident_bytes()
        if resident is not None:
            yield one_gauge(process.MEMORY, float(resident))
        yield one_gauge(process.MEMORY_LIMIT, float(memory_limit_bytes()))
