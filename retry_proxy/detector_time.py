"""How long detectors take, and an end for one that takes too long. They have no clock."""

from collections.abc import Callable

from detectors.detector import Detector
from detectors.observation import Observation
from detectors.verdict import Verdict

Clock = Callable[[], float]

SLOW_SECONDS = 0.05  # for one update: no other stream moves in the meantime
_SLOW_UPDATES = 3
_WINDOW_UPDATES = 64  # a busy machine makes any of them slow now and then


class DetectorTime:
    """Seconds that this process has spent in detectors."""

    __slots__ = ("seconds",)

    def __init__(self) -> None:
        self.seconds = 0.0


class TooSlow(Exception):
    """A detector's time is over; its panel retires it as if it had crashed."""


class TimedDetector:
    """A detector under suspicion: the updates of its panel were slow.

    Raises:
        TooSlow: on the third slow update of 64 at most, unless it brought a verdict.
    """

    def __init__(self, detector: Detector, clock: Clock) -> None:
        self._detector = detector
        self._clock = clock
        self._updates = 0
        self._slow_updates = 0

    @property
    def name(self) -> str:
        """The detector's own."""
        return self._detector.name

    @property
    def is_watching(self) -> bool:
        """The detector's own."""
        return self._detector.is_watching

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        """The detector's own, timed."""
        began = self._clock()
        verdict = self._detector.update(observation, tokens)
        is_slow = self._clock() - began > SLOW_SECONDS
        if self._updates % _WINDOW_UPDATES == 0:
            self._slow_updates = 0
        self._updates += 1
        self._slow_updates += is_slow
        if self._slow_updates >= _SLOW_UPDATES and verdict is None:
            raise TooSlow(self.name)
        return verdict
