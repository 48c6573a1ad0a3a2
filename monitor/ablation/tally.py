"""What one cell gave, counted over its rounds. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from detectors.verdict import Verdict
from monitor.ablation.grid import Cell
from monitor.traffic.outcome import CAUSES, Failure, Outcome
from monitor.traffic.report import LATE_SECONDS, Rate, Spread, failure_name, rate, spread

_GIVEN_UP_STATUS = 503


class Found(msgspec.Struct, frozen=True):
    """Answers in which one detector found one kind."""

    detector: str
    kind: str
    rate: Rate


class CellReport(msgspec.Struct, frozen=True):
    """One row of the table.

    Attributes:
        rate, burst: see ``Load``.
        given_up: answered with 503: the prefill was later than its budget, or the queue was full.
        failures: other requests without a whole answer, by why.
        told: answers whose engine told its sanitizer's record; the corrupted are counted of these.
        corrupted: ``None`` if none told.
        causes: by the first cause that applies, in the order of the sanitizer.
        anomalous: of the answers.
        caught: corrupted answers that also have a finding.
        late: requests sent later than planned: the load was lighter than asked for.
        missing: planned requests that the row lacks, because it was interrupted.
    """

    abort_protocol: str
    load_sync: str
    prefills: int
    decodes: int
    load: str
    rate: float
    burst: float
    requests: int
    answered: int
    given_up: int
    failures: dict[str, int]
    told: int
    corrupted: Rate | None
    causes: dict[str, Rate]
    anomalous: Rate
    found: list[Found]
    caught: int
    first_token_seconds: Spread | None
    late: int
    missing: int


@dataclass(slots=True)
class Tally:
    """Counts of one cell.

    Attributes:
        causes: corrupted answers by their first cause.
        findings: answers by the detector and the kind of their first finding.
    """

    cell: Cell
    requests: int = 0
    answered: int = 0
    given_up: int = 0
    told: int = 0
    caught: int = 0
    late: int = 0
    missing: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    findings: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_token_seconds: list[float] = field(default_factory=list)

    def add(
        self, planned: int, outcomes: Iterable[Outcome], verdicts: Mapping[int, Verdict]
    ) -> None:
        """One round of ``planned`` requests; ``verdicts`` by the request's number."""
        before = self.requests
        for outcome in outcomes:
            if outcome.failure is not Failure.INTERRUPTED:
                self._count(outcome, verdicts.get(outcome.number))
        self.missing += planned - (self.requests - before)

    def _count(self, outcome: Outcome, verdict: Verdict | None) -> None:
        self.requests += 1
        self.late += outcome.lag_seconds > LATE_SECONDS
        if outcome.failure is not None:
            if outcome.status == _GIVEN_UP_STATUS:
                self.given_up += 1
            else:
                self.failures[failure_name(outcome)] += 1
            return
        self.answered += 1
        if outcome.first_token_seconds is not None:
            self.first_token_seconds.append(outcome.first_token_seconds)
        if verdict is not None:
            self.findings[verdict.detector, verdict.kind.value] += 1
        if outcome.sanitizer is None:
            return
        self.told += 1
        if outcome.sanitizer.causes:
            self.causes[outcome.sanitizer.causes[0]] += 1
            self.caught += verdict is not None

    def report(self) -> CellReport:
        """The row."""
        cell, told, answered = self.cell, self.told, self.answered
        return CellReport(
            abort_protocol=cell.protocol.value,
            load_sync=cell.sync.value,
            prefills=cell.ratio.prefills,
            decodes=cell.ratio.decodes,
            load=cell.load.name,
            rate=cell.load.rate,
            burst=cell.load.burst,
            requests=self.requests,
            answered=answered,
            given_up=self.given_up,
            failures=dict(sorted(self.failures.items())),
            told=told,
            corrupted=rate(self.causes.total(), told) if told else None,
            causes={name: rate(self.causes[name], told) for name in CAUSES if self.causes[name]},
            anomalous=rate(self.findings.total(), answered),
            found=[
                Found(detector, kind, rate(count, answered))
                for (detector, kind), count in sorted(self.findings.items())
            ],
            caught=self.caught,
            first_token_seconds=spread(self.first_token_seconds),
            late=self.late,
            missing=self.missing,
        )
