"""The one number by which each detector decides, to hold all to one rate of false alarms."""

import zlib
from collections.abc import Callable
from typing import Protocol

from detectors.acceptance.calibrated import CalibratedAcceptance
from detectors.observation import Observation
from detectors.panels import DefaultPanel
from detectors.text.gibberish import Gibberish
from monitor.offline.panels import Panels
from monitor.offline.recording import Recording
from monitor.offline.watch import Alone

_NOTHING = float("-inf")


class Gauge(Protocol):
    """Follows one stream, past any alarm."""

    def update(self, observation: Observation) -> float:
        """The number after the next chunk: the higher, the worse; minus infinity: none yet."""


class PublishedLength:
    """Steps per token of the whole answer, once 128 tokens are out: low accept length."""

    AFTER_TOKENS = 128

    def __init__(self) -> None:
        self._steps = self._tokens = 0

    def update(self, observation: Observation) -> float:
        self._steps += observation.steps or 0
        self._tokens += observation.new_tokens or 0
        if not self._steps or self._tokens <= self.AFTER_TOKENS:
            return _NOTHING
        return self._steps / self._tokens


class LowEvidence:
    """Of the sequential test, binary logarithm; whether it would be believed is not asked."""

    def __init__(self, acceptance: CalibratedAcceptance) -> None:
        self._acceptance = acceptance
        self._alone = Alone(acceptance)

    def update(self, observation: Observation) -> float:
        self._alone.update(observation)
        return self._acceptance.low_bits if self._acceptance.test is not None else _NOTHING


class TextLevel:
    """How near the text detector is to its thresholds; 1 is an alarm."""

    def __init__(self) -> None:
        self._text = Gibberish()
        self._alone = Alone(self._text)

    def update(self, observation: Observation) -> float:
        self._alone.update(observation)
        return self._text.level


class FusedScore:
    """Of the fusion within its panel: log-odds of damage."""

    def __init__(self, panel: DefaultPanel) -> None:
        self._panel = panel

    def update(self, observation: Observation) -> float:
        self._panel.update(observation)
        return self._panel.fusion.score


class CompressionRatio:
    """Of the last 1,000 bytes under zlib, every 256 bytes."""

    WINDOW, EVERY = 1000, 256

    def __init__(self) -> None:
        self._kept = b""
        self._unread = 0
        self._ratio = _NOTHING

    def update(self, observation: Observation) -> float:
        new = observation.text.encode("utf-8", "surrogatepass")
        self._kept = (self._kept + new)[-self.WINDOW :]
        self._unread += len(new)
        if self._unread >= self.EVERY and len(self._kept) == self.WINDOW:
            self._unread = 0
            self._ratio = self.WINDOW / len(zlib.compress(self._kept))
        return self._ratio


MakeGauge = Callable[[Recording], Gauge]


def gauges(panels: Panels) -> dict[str, MakeGauge]:
    """Fresh ones for a recording, by name. A repetition has no such number but its alarm."""
    return {
        "fusion": lambda record: FusedScore(panels.default(record)),
        "acceptance": lambda record: LowEvidence(panels.acceptance(record)),
        "text": lambda _: TextLevel(),
        "published accept length": lambda _: PublishedLength(),
        "zlib ratio, last 1000 bytes": lambda _: CompressionRatio(),
    }
