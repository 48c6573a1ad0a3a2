"""Errors of the offline commands.

MonitorError
├── BadRecording     a file or a line cannot be read; the message says where and what to do
├── BadBaselines     the file of baselines is not one
├── BadWeights       the file of the fusion's weights is not one
├── MissingExtra     an optional package is needed for what was asked
└── NoLiveTraffic    the proxy was not reached, or has nothing to learn from
"""

from monitor.errors import MonitorError


class BadRecording(MonitorError):
    """A recording that cannot be read."""


class BadBaselines(MonitorError):
    """A file of baselines that cannot be read."""


class BadWeights(MonitorError):
    """A file of the fusion's weights that cannot be read."""


class MissingExtra(MonitorError):
    """An optional package is needed."""


class NoLiveTraffic(MonitorError):
    """The proxy gave nothing to learn from."""
