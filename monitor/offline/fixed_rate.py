"""Recall and delay of every detector at the same rate of false alarms. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from monitor.offline.gauges import Gauge
from monitor.offline.scores import PER_TOKENS, Rate, percentile
from monitor.offline.trials import Case

RATES = (1.0, 10.0, 100.0)
"""False alarms in a million healthy tokens."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What a gauge read on one stream.

    Attributes:
        healthy_peak: highest while nothing was wrong.
        healthy_tokens: that were seen until then.
        rises: after the onset, each new highest reading: tokens since the onset, reading.
        is_damaged: it has an onset, reached or not.
        had_loop: its healthy part goes into a true loop, so that it tells nothing about recall.
    """

    healthy_peak: float
    healthy_tokens: int
    rises: tuple[tuple[int, float], ...]
    is_damaged: bool
    had_loop: bool

    def delay(self, threshold: float) -> int | None:
        """Tokens from the onset to the first reading above; ``None``: missed, or before it."""
        if self.healthy_peak > threshold:
            return None
        return next((tokens for tokens, reading in self.rises if reading > threshold), None)


def read(case: Case, gauge: Gauge) -> Readings:
    """Shows the whole case. What comes after a true loop began is neither healthy nor damaged."""
    healthy_until = case.healthy_tokens if case.loop_start is None else case.loop_start
    healthy_peak = peak = -math.inf
    rises = []
    tokens = 0
    for observation in case.stream:
        reading = gauge.update(observation)
        tokens += observation.new_tokens or 0
        if tokens <= healthy_until:
            healthy_peak = max(healthy_peak, reading)
        elif case.onset is not None and tokens > case.onset and reading > peak:
            peak = reading
            rises.append((tokens - case.onset, reading))
    return Readings(
        healthy_peak,
        min(healthy_until, tokens),
        tuple(rises),
        is_damaged=case.onset is not None,
        had_loop=case.loop_start is not None,
    )


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold, and what it gives.

    Attributes:
        delays: tokens from onset to alarm of the found ones, sorted.
    """

    threshold: float
    false_alarms: Rate
    recall: Rate
    delays: Sequence[int]

    def to_dict(self) -> dict[str, Any]:
        return {
            "threshold": self.threshold,
            "false_alarms_per_token": self.false_alarms.to_dict(),
            "recall": self.recall.to_dict(),
            "delay_tokens": {
                "median": percentile(self.delays, 50),
                "p95": percentile(self.delays, 95),
            },
        }


@dataclass(slots=True)
class FixedRates:
    """All readings of one gauge, by group."""

    readings: dict[str, list[Readings]] = field(default_factory=dict)

    def add(self, group: str, readings: Readings) -> None:
        self.readings.setdefault(group, []).append(readings)

    def threshold(self, per_million: float) -> float:
        """The lowest at which the undamaged streams give no more false alarms than that."""
        healthy = self._healthy
        peaks = sorted((one.healthy_peak for one in healthy), reverse=True)
        tokens = sum(one.healthy_tokens for one in healthy)
        allowed = int(per_million * tokens / PER_TOKENS)
        return peaks[allowed] if allowed < len(peaks) else math.inf

    @property
    def _healthy(self) -> list[Readings]:
        return [one for group in self.readings.values() for one in group if not one.is_damaged]

    def points(self, per_million: float) -> dict[str, OperatingPoint]:
        """For each group with damage; the threshold is the same for all.

        None where it cannot be set: nothing healthy, or nothing that the gauge could read.
        """
        threshold, healthy = self.threshold(per_million), self._healthy
        if math.isinf(threshold):
            return {}
        false_alarms = Rate(
            sum(one.healthy_peak > threshold for one in healthy),
            sum(one.healthy_tokens for one in healthy),
        )
        found = {}
        for group, readings in sorted(self.readings.items()):
            telling = [one for one in readings if one.is_damaged and not one.had_loop]
            delays = [one.delay(threshold) for one in telling]
            hits = sorted(delay for delay in delays if delay is not None)
            if delays:
                recall = Rate(len(hits), len(delays))
                found[group] = OperatingPoint(threshold, false_alarms, recall, hits)
        return found
