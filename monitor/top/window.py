"""Rates over the last minute, from looks at counts that only grow. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from monitor.top.reading import Counts

WINDOW_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Rates:
    """One replica's, ``None`` where nothing happened or nothing tells it.

    Attributes:
        attempts: that ended.
        anomaly_share: of them, with a finding.
        accept_length: tokens out per step.
    """

    attempts: float | None = None
    anomaly_share: float | None = None
    accept_length: float | None = None


class Window:
    """The looks of the last minute."""

    def __init__(self, seconds: float = WINDOW_SECONDS) -> None:
        self.seconds = seconds
        self._looks: deque[tuple[float, Mapping[str, Counts]]] = deque()

    def add(self, at: float, counts: Mapping[str, Counts]) -> None:
        """One more look, later than all before."""
        self._looks.append((at, counts))
        # The last one before the window stays: what happened in the window is counted from it.
        while len(self._looks) > 2 and self._looks[1][0] <= at - self.seconds:
            self._looks.popleft()

    @property
    def covered_seconds(self) -> float | None:
        """From the first look to the last; ``None`` if there is only one: then all is counted."""
        if len(self._looks) < 2:
            return None
        return self._looks[-1][0] - self._looks[0][0]

    def rates(self, replica: str) -> Rates:
        """Over the looks, or since the replica's start if it is known from the last one alone."""
        if not self._looks:
            return Rates()
        now = self._looks[-1][1].get(replica, Counts())
        before = Counts()
        if len(self._looks) > 1:
            before = self._looks[0][1].get(replica, before)
        attempts = _grown(before.attempts, now.attempts)
        anomalies = _grown(before.anomalies, now.anomalies)
        steps = _grown(before.steps, now.steps)
        accepted = _grown(before.accepted, now.accepted)
        return Rates(
            attempts=attempts,
            anomaly_share=None if anomalies is None or not attempts else anomalies / attempts,
            accept_length=None if accepted is None or not steps else 1 + accepted / steps,
        )


def _grown(before: float | None, now: float | None) -> float | None:
    """How much a counter grew; one that fell was started anew."""
    if now is None:
        return None
    return now if before is None or now < before else now - before
