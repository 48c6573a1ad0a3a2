"""Every metric that specwatch exports, once, by subject. Knows names, labels and buckets, and no
numbers.
"""

from monitor.catalog import detection, engines, fleet, process, traffic
from monitor.catalog.metric import Metric, MetricType

__all__ = ["CATALOG", "Metric", "MetricType", "detection", "engines", "fleet", "process", "traffic"]

CATALOG: tuple[Metric, ...] = (
    *traffic.ALL,
    *detection.ALL,
    *fleet.ALL,
    *engines.ALL,
    *process.ALL,
)
