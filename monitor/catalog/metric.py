"""What an entry of the catalog says. Knows no metric."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class MetricType(enum.StrEnum):
    """The Prometheus type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family.

    Attributes:
        name: full name as scraped; a counter ends in ``_total``.
        unit: what one is: ``requests``, ``tokens``, ``seconds``, ``ratio`` …
        labels: label names; each has few values (see ``monitor/labels.py``).
        buckets: upper bounds of a histogram, without infinity.
        is_pulled: read where it is kept, at each scrape; the rest is moved by events.
    """

    name: str
    type: MetricType
    unit: str
    help: str
    labels: Sequence[str] = ()
    buckets: Sequence[float] = ()
    is_pulled: bool = False

    @property
    def samples(self) -> frozenset[str]:
        """The names by which a query can ask for it."""
        if self.type is MetricType.HISTOGRAM:
            return frozenset(f"{self.name}_{part}" for part in ("bucket", "sum", "count"))
        return frozenset({self.name})


def metrics_of(module: Mapping[str, object]) -> tuple[Metric, ...]:
    """Every metric that a module of the catalog defines, in its order."""
    return tuple(value for value in module.values() if isinstance(value, Metric))
