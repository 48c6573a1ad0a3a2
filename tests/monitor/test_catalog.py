"""The catalog is the only place where metrics are named."""

import pytest

from monitor.catalog import CATALOG, Metric, MetricType
from monitor.metrics import Metrics


@pytest.mark.parametrize("metric", CATALOG, ids=lambda metric: metric.name)
def test_every_entry_is_well_formed(metric: Metric) -> None:
    """Names follow Prometheus' conventions and every entry explains itself."""
    assert metric.name.startswith("specwatch_")
    assert metric.name.endswith("_total") == (metric.type is MetricType.COUNTER)
    assert metric.help.endswith(".")
    assert metric.unit
    assert bool(metric.buckets) == (metric.type is MetricType.HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))


def test_names_are_unique() -> None:
    """A metric exists once."""
    assert len({metric.name for metric in CATALOG}) == len(CATALOG)


def test_no_label_can_hold_a_client_s_text() -> None:
    """Ids, prompts and users never become labels."""
    allowed = {"model", "replica", "engine", "kind", "detector", "outcome"}
    facts = {"version", "python", "config", "panel", "learned"}  # of this process, all its life
    for metric in CATALOG:
        assert set(metric.labels) <= (facts if metric.name.endswith("_info") else allowed)


def test_two_monitors_share_nothing() -> None:
    """Each instance has a registry of its own."""
    first, second = Metrics(), Metrics()
    first.dropped("test")
    assert 'outcome="test"' in first.exposition().decode()
    assert 'outcome="test"' not in second.exposition().decode()
