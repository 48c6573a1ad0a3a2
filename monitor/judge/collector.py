"""The judge's counts and estimates, read when Prometheus scrapes."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from monitor.catalog import detection
from monitor.collector import counter, gauge
from monitor.judge.estimate import Share
from monitor.judge.report import JudgeSource


class JudgeCollector(Collector):
    """One series per count; an estimate has three, and none before there is something to judge."""

    def __init__(self, judge: JudgeSource) -> None:
        self._judge = judge

    def collect(self) -> Iterator[Family]:
        """All families of the judge."""
        report = self._judge.report()
        texts, dropped = counter(detection.JUDGE_TEXTS), counter(detection.JUDGE_DROPPED)
        for source, opinions in report.opinions.items():
            for opinion, count in opinions.items():
                texts.add_metric((source, opinion), float(count))
        for reason, count in report.dropped.items():
            dropped.add_metric((reason,), float(count))
        up = gauge(detection.JUDGE_UP)
        up.add_metric((), float(report.is_up))
        false_alarms, misses = gauge(detection.JUDGE_FALSE_ALARMS), gauge(detection.JUDGE_MISSES)
        for family, share in ((false_alarms, report.false_alarms), (misses, report.misses)):
            for bound, value in bounds(share):
                family.add_metric((bound,), value)
        yield from (texts, dropped, up, false_alarms, misses)


def bounds(share: Share) -> Iterator[tuple[str, float]]:
    """The estimate and its interval; nothing without data."""
    if share.estimate is not None:
        yield from (("estimate", share.estimate), ("low", share.low), ("high", share.high))
