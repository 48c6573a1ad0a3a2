"""What every detector of one stream can do."""

from typing import Protocol

from detectors.observation import Observation
from detectors.verdict import Verdict


class Detector(Protocol):
    """Watches one attempt. Pure.

    No I/O, no clock; constant memory; a new attempt gets a new one.
    """

    @property
    def name(self) -> str:
        """Stable name, used in verdicts and metrics."""
        ...

    @property
    def is_watching(self) -> bool:
        """The statistic is past its watch level.

        Text should be held until it falls back or alarms.
        """
        ...

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        """Takes the next observation; returns a verdict at the step where the alarm is raised.

        Args:
            tokens: generated so far, this observation included (estimated where the engine does
                not say).
        """
        ...
