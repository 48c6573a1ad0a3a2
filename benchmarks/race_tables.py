"""The further tables of ``benchmarks.races``: the cures' price, and what detectors see. Pure."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from monitor.interval import clopper_pearson
from monitor.offline.panels import Panels
from monitor.offline.recording import Recording
from monitor.offline.trials import Case, build_case
from monitor.offline.watch import Course, follow

PRICE_COLUMNS = (
    "load",
    "tokens/s, as shipped",
    "cured",
    "cured / as shipped, rounds",
    "p99 first token, as shipped, ms",
    "cured, ms",
    "cured / as shipped, rounds",
)
SHARE_COLUMNS = (
    "the sanitizer says",
    "generations",
    "found by the detectors",
    "share (95 %)",
    "tokens from onset to alarm, median, highest",
    "tokens after the onset, median",
    "found as",
)


@dataclass(frozen=True, slots=True)
class Pace:
    """One round of a cell: tokens a second, and seconds to the first token of 99 % of requests."""

    tokens_a_second: float
    p99_seconds: float


def price_row(load: str, shipped: Sequence[Pace], cured: Sequence[Pace]) -> list[str]:
    """Both took turns with the same requests: round by round they make pairs."""
    speeds = [
        (one.tokens_a_second, other.tokens_a_second)
        for one, other in zip(shipped, cured, strict=True)
    ]
    waits = [
        (1e3 * one.p99_seconds, 1e3 * other.p99_seconds)
        for one, other in zip(shipped, cured, strict=True)
    ]
    return [load, *_compared(speeds), *_compared(waits)]


def _compared(pairs: Sequence[tuple[float, float]]) -> list[str]:
    """Medians of both, and of the rounds' ratios."""
    ratios = sorted(other / one for one, other in pairs if one)
    medians = [f"{statistics.median(each):,.0f}" for each in zip(*pairs, strict=True)]
    if not ratios:
        return [*medians, "-"]
    return [*medians, f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"]


@dataclass(slots=True)
class _Kind:
    """Generations of one kind of corruption."""

    count: int = 0
    found: int = 0
    delays: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    names: dict[str, int] = field(default_factory=dict)

    def add(self, case: Case, course: Course) -> None:
        self.count += 1
        if case.onset is not None:
            self.lengths.append(case.tokens - case.onset)
        verdict = course.verdict
        if verdict is None:
            return
        if case.onset is not None and course.tokens <= case.onset:
            return  # before anything was wrong: not found, and no merit
        self.found += 1
        self.delays.append(course.tokens - (case.onset or 0))
        name = f"{verdict.kind.value} by {verdict.detector}"
        self.names[name] = self.names.get(name, 0) + 1

    def row(self, name: str) -> list[str]:
        low, high = clopper_pearson(self.found, self.count)
        names = sorted(self.names.items(), key=lambda item: -item[1])
        return [
            name,
            f"{self.count:,}",
            f"{self.found:,}",
            f"{self.found / self.count:.1%} ({low:.1%} to {high:.1%})",
            f"{statistics.median(self.delays):.0f}, {max(self.delays)}" if self.delays else "-",
            f"{statistics.median(self.lengths):.0f}" if self.lengths else "-",
            ", ".join(f"{count} {each}" for each, count in names) or "none",
        ]


def share_rows(lines: Iterable[str]) -> list[list[str]]:
    """A row for each kind of corruption, the silent ones too, and one for the healthy.

    ``lines``: recordings as ``Outcome.lines`` keeps them.
    """
    panels = Panels()
    kinds: dict[str, _Kind] = {}
    for line in lines:
        record = msgspec.json.decode(line, type=Recording)
        case = build_case(record)
        course = follow(panels.panel(record), case.stream)
        name = record.fault if record.has_fault and record.fault else "nothing is wrong"
        kinds.setdefault(name, _Kind()).add(case, course)
    return [kind.row(name) for name, kind in sorted(kinds.items())]
