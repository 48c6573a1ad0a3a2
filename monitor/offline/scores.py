"""Sums up trials: recall, false alarms, delay, leaks, each with its interval and denominator."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from monitor.interval import clopper_pearson
from monitor.offline.trials import Outcome, Trial

PER_ANSWERS, PER_TOKENS = 10_000, 1_000_000


@dataclass(frozen=True, slots=True)
class Rate:
    """Events among trials, with its 95 % interval."""

    events: int
    trials: int

    @property
    def share(self) -> float | None:
        return self.events / self.trials if self.trials else None

    @property
    def interval(self) -> tuple[float, float]:
        return clopper_pearson(self.events, self.trials)

    def to_dict(self) -> dict[str, Any]:
        low, high = self.interval
        return {
            "events": self.events,
            "trials": self.trials,
            "share": self.share,
            "low": low if self.trials else None,
            "high": high if self.trials else None,
        }


@dataclass(slots=True)
class Score:
    """All trials of one detector on one group of recordings."""

    trials: list[Trial] = field(default_factory=list)

    def _count(self, outcome: Outcome) -> int:
        return sum(trial.outcome is outcome for trial in self.trials)

    @property
    def recall(self) -> Rate:
        """Hits among the damaged; an alarm before the onset is none."""
        damaged = [trial for trial in self.trials if trial.tells_recall]
        return Rate(sum(trial.outcome is Outcome.HIT for trial in damaged), len(damaged))

    @property
    def false_alarms(self) -> Rate:
        """Among answers with any healthy token, also those that are damaged later."""
        return Rate(
            self._count(Outcome.FALSE_ALARM), sum(trial.healthy_tokens > 0 for trial in self.trials)
        )

    @property
    def false_alarms_per_token(self) -> Rate:
        """Among the healthy tokens that were seen."""
        return Rate(self._count(Outcome.FALSE_ALARM), self.healthy_tokens)

    @property
    def healthy_tokens(self) -> int:
        return sum(trial.healthy_tokens for trial in self.trials)

    @property
    def true_loops(self) -> Rate:
        """Found among the undamaged texts that do end in a loop."""
        return Rate(self._count(Outcome.TRUE_LOOP), sum(trial.had_loop for trial in self.trials))

    @property
    def held(self) -> Rate:
        """Share of healthy tokens that were held back when they came; true loops left out."""
        healthy = [trial for trial in self.trials if not trial.had_loop]
        return Rate(
            sum(trial.held for trial in healthy), sum(trial.healthy_tokens for trial in healthy)
        )

    @property
    def delays(self) -> list[int]:
        """Tokens from onset to alarm, of the hits, sorted."""
        return self._sorted(lambda trial: trial.delay)

    @property
    def leaks(self) -> list[int]:
        """Bad tokens that would have reached the client, hit or missed, sorted."""
        return self._sorted(lambda trial: trial.leaked)

    @property
    def found_by(self) -> dict[str, int]:
        """Hits by the detector that raised the alarm."""
        hits = (trial for trial in self.trials if trial.outcome is Outcome.HIT)
        return dict(Counter(trial.found_by for trial in hits if trial.found_by is not None))

    def _sorted(self, value: Callable[[Trial], int | None]) -> list[int]:
        values = (value(trial) for trial in self.trials if trial.tells_recall)
        return sorted(each for each in values if each is not None)

    def to_dict(self) -> dict[str, Any]:
        """Every figure, for scripts."""
        return {
            "found_by": self.found_by,
            "recall": self.recall.to_dict(),
            "false_alarms_per_answer": self.false_alarms.to_dict(),
            "false_alarms_per_token": self.false_alarms_per_token.to_dict(),
            "delay_tokens": _spread(self.delays),
            "leaked_tokens": _spread(self.leaks),
            "held_tokens": self.held.to_dict(),
            "true_loops": self.true_loops.to_dict(),
        }


def percentile(ordered: Sequence[int], percent: float) -> int | None:
    """Nearest rank: the value that so many percent stay at or below; ``None`` of nothing."""
    if not ordered:
        return None
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def _spread(ordered: Sequence[int]) -> dict[str, int | None]:
    return {
        "count": len(ordered),
        "median": percentile(ordered, 50),
        "p95": percentile(ordered, 95),
    }
