"""How the recording is doing, read when Prometheus scrapes."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from monitor.catalog import process
from monitor.collector import counter, gauge
from monitor.traffic.recorder import Recorder


class RecordCollector(Collector):
    """Three series, and one more for each reason of a loss."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def collect(self) -> Iterator[Family]:
        """What was written, what was not, and whether it goes on."""
        written, dropped = counter(process.RECORDED), counter(process.RECORD_DROPPED)
        up = gauge(process.RECORD_UP)
        written.add_metric((), float(self._recorder.written))
        for reason, count in self._recorder.dropped.items():
            dropped.add_metric((reason,), float(count))
        up.add_metric((), float(self._recorder.is_up))
        yield from (written, dropped, up)
