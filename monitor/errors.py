"""Errors of the control plane.

MonitorError
├── InvalidOptions    the command line, the environment or the file; the message names the option
├── JudgeUnavailable  --judge: an extra or its model is missing; the message says what to do
├── IncidentsUnavailable  what was asked for cannot be had from there; the message says why
├── SharingFailed     Redis took nothing that others should know; the message says why
├── DrillFailed       a target of a drill is not what it should be; the message says what to do
└── DemoFailed        a part of the demo did not start or died; the message says where its log lies
"""


class MonitorError(Exception):
    """Base of all errors raised on purpose by ``monitor``."""


class InvalidOptions(MonitorError):
    """An option is unknown, of the wrong type or out of range."""


class JudgeUnavailable(MonitorError):
    """The judge was asked for and cannot start."""


class IncidentsUnavailable(MonitorError):
    """Incidents, or one of them, cannot be had from where they were asked for."""


class SharingFailed(MonitorError):
    """What others should know could not be written."""


class DrillFailed(MonitorError):
    """A drill cannot be run, or could not be ended."""


class DemoFailed(MonitorError):
    """A part of the demo did not start, or died."""
