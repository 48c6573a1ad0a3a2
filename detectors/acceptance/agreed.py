"""A finding that counts only while other evidence agrees."""

from collections.abc import Callable

from detectors.detector import Detector
from detectors.observation import Observation
from detectors.verdict import Verdict


class Agreed:
    """Asks a detector, and passes its verdict on only while ``agrees`` says so.

    A low accept length may be the drafter's, a high accept rate honest copying: each needs a second
    witness.
    """

    __slots__ = ("_agrees", "_detector", "name")

    def __init__(self, detector: Detector, agrees: Callable[[], bool]) -> None:
        self.name = detector.name
        self._detector = detector
        self._agrees = agrees

    @property
    def is_watching(self) -> bool:
        return self._detector.is_watching and self._agrees()

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        verdict = self._detector.update(observation, tokens)
        return verdict if verdict is not None and self._agrees() else None
