"""The detectors of one attempt.

Fails open: a detector that crashes is counted and retired, the stream goes on.
"""

from collections.abc import Sequence

from detectors.acceptance import AcceptanceThresholds, HighAcceptance, LowAcceptance
from detectors.detector import Detector
from detectors.observation import Observation
from detectors.verdict import Verdict


class Panel:
    """Asks each detector about each observation; the first verdict counts."""

    def __init__(self, detectors: Sequence[Detector]) -> None:
        self._detectors = list(detectors)
        self.crashed: list[str] = []
        self.is_watching = False  # some detector's statistic is past its watch level

    def update(self, observation: Observation) -> Verdict | None:
        """Returns the first verdict.

        In the order of the detectors; every detector sees the observation.
        """
        found: Verdict | None = None
        is_watching = False
        for detector in tuple(self._detectors):
            try:
                verdict = detector.update(observation)
                is_watching = detector.is_watching or is_watching
            except Exception:  # supervisor: a detector's bug must not cost the client its answer
                self.crashed.append(detector.name)
                self._detectors.remove(detector)
                continue
            found = found or verdict
        self.is_watching = is_watching
        return found


def published_rule(thresholds: AcceptanceThresholds) -> Panel:
    """The panel of the published rule."""
    return Panel([LowAcceptance(thresholds), HighAcceptance(thresholds)])
