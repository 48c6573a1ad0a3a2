"""The detectors of one attempt: one panel, or one for each of several answers in its stream."""

from collections.abc import Callable
from time import perf_counter

from detectors.observation import Observation
from detectors.panel import Panel
from detectors.verdict import Verdict
from retry_proxy.detector_time import SLOW_SECONDS, Clock, DetectorTime, TimedDetector
from retry_proxy.engines.adapter import Piece


class ChoicePanels:
    """Shows each answer to a panel of its own: two healthy answers in turn are no text.

    Args:
        build: makes a fresh panel.
        spent: where the time that the detectors take is added up.
    """

    def __init__(
        self,
        build: Callable[[], Panel],
        spent: DetectorTime | None = None,
        clock: Clock = perf_counter,
    ) -> None:
        self._build = build
        self._spent = spent or DetectorTime()
        self._clock = clock
        self._single = build()
        self._by_choice: dict[int, Panel] = {}
        self._suspects: list[Panel] = []

    @property
    def is_watching(self) -> bool:
        """Some detector's statistic is past its watch level."""
        if not self._by_choice:
            return self._single.is_watching
        return any(panel.is_watching for panel in self._by_choice.values())

    @property
    def crashed(self) -> list[str]:
        """Names of detectors that crashed or took too long."""
        names = list(self._single.crashed)
        for panel in self._by_choice.values():
            names += panel.crashed
        return names

    def update(self, piece: Piece) -> Verdict | None:
        """Returns the first verdict on any of the answers."""
        if not piece.choices:
            return self._show(self._single, piece.observation)
        found: Verdict | None = None
        for index, seen in piece.choices:
            if index not in self._by_choice:
                self._by_choice[index] = self._build()
            found = self._show(self._by_choice[index], seen) or found
        return found

    def update_single(self, seen: Observation) -> Verdict | None:
        """The same for the only answer, without a piece around it."""
        return self._show(self._single, seen)

    def _show(self, panel: Panel, seen: Observation) -> Verdict | None:
        began = self._clock()
        verdict = panel.update(seen)
        seconds = self._clock() - began
        self._spent.seconds += seconds
        if seconds > SLOW_SECONDS and panel not in self._suspects:
            self._suspects.append(panel)
            panel.wrap(lambda detector: TimedDetector(detector, self._clock))
        return verdict
