"""Errors of the control plane.

MonitorError
├── InvalidOptions    the command line, the environment or the file; the message names the option
└── DemoFailed        a part of the demo did not start or died; the message says where its log lies
"""


class MonitorError(Exception):
    """Base of all errors raised on purpose by ``monitor``."""


class InvalidOptions(MonitorError):
    """An option is unknown, of the wrong type or out of range."""


class DemoFailed(MonitorError):
    """A part of the demo did not start, or died."""
