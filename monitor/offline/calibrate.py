"""``specwatch calibrate``: what healthy acceptance looks like, learned from recordings."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from detectors.acceptance.baseline import MIN_REQUESTS, AcceptanceBaseline
from detectors.acceptance.library import BaselineLibrary
from monitor.offline.panels import Panels
from monitor.offline.recording import Recording
from monitor.offline.replay import observations
from monitor.offline.watch import follow

GREEDY = 0.0
"""Greedy requests are told apart: their drafts are accepted most steadily, so that a drop shows in
half the time."""


class Source(NamedTuple):
    """What one baseline is for."""

    model: str
    engine: str
    num_drafts: int
    max_temperature: float = math.inf

    @property
    def title(self) -> str:
        engine = f" on {self.engine}" if self.engine else ""
        drafts = f"{self.num_drafts} draft{'' if self.num_drafts == 1 else 's'} a step"
        greedy = ", temperature 0" if self.max_temperature == GREEDY else ""
        return f"{self.model or 'any model'}{engine}, {drafts}{greedy}"

    def learn(self, requests: Sequence[Sequence[int]]) -> AcceptanceBaseline:
        """Its baseline."""
        return AcceptanceBaseline.learn(
            requests,
            self.num_drafts,
            model=self.model,
            engine=self.engine,
            max_temperature=None if self.max_temperature == math.inf else self.max_temperature,
        )


class Skipped:
    """Why a recording teaches nothing."""

    DAMAGED = "marked as damaged"
    FLAGGED = "flagged by the panel"
    NO_STEPS = "without accepted_per_step"
    NO_DRAFTS = "without any draft"
    TOO_MANY = "with more drafts accepted in a step than num_drafts"


@dataclass(slots=True)
class Learned:
    """Accepted drafts of the healthy requests, and what was left out."""

    requests: dict[Source, list[tuple[int, ...]]] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, record: Recording, panels: Panels) -> str | None:
        """Takes a recording, or says why not: bad state never teaches."""
        reason = reason_to_skip(record, panels)
        if reason is not None:
            self.skipped[reason] += 1
            return reason
        source = Source(record.model or "", record.engine or "", record.most_drafts or 0)
        self._teach(source, record)
        if record.temperature == GREEDY:
            self._teach(source._replace(max_temperature=GREEDY), record)
        return None

    def _teach(self, source: Source, record: Recording) -> None:
        self.requests.setdefault(source, []).append(record.accepted_per_step or ())

    def library(self) -> BaselineLibrary:
        """A baseline for each model, engine and number of drafts; greedy ones apart, if enough."""
        return BaselineLibrary(
            source.learn(requests)
            for source, requests in sorted(self.requests.items())
            if source.max_temperature == math.inf or len(requests) >= MIN_REQUESTS
        )


def reason_to_skip(record: Recording, panels: Panels) -> str | None:
    """Why it must not teach; ``None`` if it may.

    The panel is asked last: it is slower than the rest.
    """
    if record.has_fault or record.is_damaged:
        return Skipped.DAMAGED
    if not record.accepted_per_step:
        return Skipped.NO_STEPS
    if not record.most_drafts:
        return Skipped.NO_DRAFTS
    if max(record.accepted_per_step) > record.most_drafts:
        return Skipped.TOO_MANY
    if follow(panels.panel(record), observations(record)).verdict is not None:
        return Skipped.FLAGGED
    return None


def accept_lengths(requests: Iterable[tuple[int, ...]]) -> list[float]:
    """Accept length of each request: tokens a step, bonus token included."""
    return sorted(1 + sum(accepted) / len(accepted) for accepted in requests)


def describe(source: Source, requests: list[tuple[int, ...]]) -> list[str]:
    """What was learned from, a line each, with a warning where it is little."""
    lengths, steps = accept_lengths(requests), sum(map(len, requests))
    mean = 1 + sum(map(sum, requests)) / steps
    spread = statistics.pstdev(lengths)
    lines = [
        f"{source.title}: {len(requests):,} requests, {steps:,} steps, "
        f"accept length {mean:.2f} (over requests: {lengths[0]:.2f} to {lengths[-1]:.2f}, "
        f"median {statistics.median(lengths):.2f}, standard deviation {spread:.2f})"
    ]
    if len(requests) < MIN_REQUESTS:
        lines.append(
            f"warning: only {len(requests)} requests, {MIN_REQUESTS} are the least that show how "
            "much requests differ; record more before you rely on it"
        )
    return lines
