"""Errors of a triage.

MonitorError
└── CannotTriage  no request to send, or nobody to send it to; the message says so
"""

from monitor.errors import MonitorError


class CannotTriage(MonitorError):
    """There is nothing to try again, or nowhere to try it."""
