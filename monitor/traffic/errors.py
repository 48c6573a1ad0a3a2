"""Errors of recording and replaying traffic.

MonitorError
├── BadTrace        a trace cannot be read or holds nothing; the message says where and what to do
├── CannotRecord    the file to record to, or the salt, cannot be used
├── BadTarget       the target cannot be reached or is no server of generations
└── RayUnavailable  --ray was given, and Ray is not installed or does not answer
"""

from monitor.errors import MonitorError


class BadTrace(MonitorError):
    """A trace that cannot be read."""


class CannotRecord(MonitorError):
    """Nothing can be recorded there."""


class BadTarget(MonitorError):
    """The target does not answer as a server of generations."""


class RayUnavailable(MonitorError):
    """No Ray to run on."""
