"""Writes a registry in the format that the scraper asks for."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import (
    CONTENT_TYPE_LATEST as OPENMETRICS_TYPE,
)
from prometheus_client.openmetrics.exposition import (
    generate_latest as generate_openmetrics,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

OPENMETRICS = "application/openmetrics-text"


class Exposition(NamedTuple):
    """The page and its media type."""

    body: bytes
    media_type: str

    def decode(self) -> str:
        """The page as text."""
        return self.body.decode()


class WithoutCreated(Collector):
    """Leaves out the ``_created`` series, which would double the number of series for nothing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Family]:
        """The registry's families without those samples."""
        for family in self._registry.collect():
            family.samples = list(_without_created(family))
            yield family


def expose(registry: CollectorRegistry, accept: str) -> Exposition:
    """The text format, or OpenMetrics where ``accept`` names it: only that has exemplars.

    Args:
        accept: the Accept header.
    """
    families = WithoutCreated(registry)
    if OPENMETRICS in accept:
        body: bytes = generate_openmetrics(families)  # type: ignore[no-untyped-call]
        return Exposition(body, OPENMETRICS_TYPE)
    return Exposition(generate_latest(families), CONTENT_TYPE_LATEST)


def _without_created(family: Family) -> Iterable[Sample]:
    return (sample for sample in family.samples if not sample.name.endswith("_created"))
