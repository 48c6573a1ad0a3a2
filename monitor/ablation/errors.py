"""Errors of an ablation.

MonitorError
├── BadGrid      a ratio or a load is not written as it must be; the message says how
└── FleetFailed  the engine did not start or died; the message shows the end of its log
"""

from monitor.errors import MonitorError


class BadGrid(MonitorError):
    """The grid cannot be built from what was given."""


class FleetFailed(MonitorError):
    """A cell's engine did not start, or ended by itself."""
