"""The engines' numbers under the catalog's names, read when Prometheus scrapes."""

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from monitor.catalog import engines
from monitor.catalog.metric import Metric
from monitor.collector import counter, gauge
from monitor.engine_metrics.names import Quantity
from monitor.engine_metrics.state import EngineState, EngineStates
from monitor.labels import BoundedNames

_GAUGES: Mapping[Quantity, Metric] = {
    Quantity.RUNNING: engines.RUNNING,
    Quantity.WAITING: engines.WAITING,
    Quantity.CACHE_USAGE: engines.CACHE_USAGE,
}
_TOTALS: Mapping[Quantity, Metric] = {
    Quantity.ABORTS: engines.ABORTS,
    Quantity.GENERATED: engines.GENERATED,
    Quantity.FIRST_TOKENS: engines.FIRST_TOKENS,
    Quantity.FIRST_TOKEN_SECONDS: engines.FIRST_TOKEN_SECONDS,
    Quantity.FINISHED: engines.FINISHED,
    Quantity.FINISHED_SECONDS: engines.FINISHED_SECONDS,
    Quantity.VERIFY_STEPS: engines.VERIFY_STEPS,
}


class EngineMetricsCollector(Collector):
    """By replica what tells how it is now, by engine what adds up."""

    def __init__(self, states: EngineStates, replicas: BoundedNames) -> None:
        self._states = states
        self._replicas = replicas

    def collect(self) -> Iterator[Family]:
        """No series for a number that an engine does not tell."""
        yield from self._by_replica()
        for quantity, metric in _TOTALS.items():
            family = counter(metric)
            for (engine, counted), value in self._states.totals.items():
                if counted is quantity:
                    family.add_metric((engine,), value)
            yield family
        positions = counter(engines.POSITION_ACCEPTED)
        for (engine, position), value in self._states.positions.items():
            positions.add_metric((engine, str(position)), value)
        yield positions

    def _by_replica(self) -> Iterator[Family]:
        scraped, missing = gauge(engines.SCRAPED), gauge(engines.MISSING)
        untold: Counter[str] = Counter()
        gauges = {quantity: gauge(metric) for quantity, metric in _GAUGES.items()}
        lengths, rates = gauge(engines.ACCEPT_LENGTH), gauge(engines.ACCEPT_RATE)
        preemptions = counter(engines.PREEMPTIONS)
        for address, state in self._states.replicas.items():
            name = (self._replicas.label(address),)
            scraped.add_metric(name, float(state.reading is not None))
            if state.reading is not None:
                untold[state.engine] += len(state.reading.missing)
                for quantity, family in gauges.items():
                    if quantity in state.reading.values:
                        family.add_metric(name, state.reading.values[quantity])
            if state.accept_length is not None:
                lengths.add_metric(name, state.accept_length)
            if state.accept_rate is not None:
                rates.add_metric(name, state.accept_rate)
            if state.preemptions is not None:
                preemptions.add_metric(name, state.preemptions)
        for engine, count in untold.items():
            missing.add_metric((engine,), float(count))
        yield from (scraped, missing, *gauges.values(), lengths, rates, preemptions)


def engine_row(state: EngineState) -> dict[str, object]:
    """What is told of one replica's metrics over HTTP."""
    reading = state.reading
    return {
        "engine": state.engine,
        "error": state.error,
        "missing": [] if reading is None else list(reading.missing),
        "values": {} if reading is None else {str(one): v for one, v in reading.values.items()},
        "accept_length": state.accept_length,
        "accept_rate": state.accept_rate,
    }
