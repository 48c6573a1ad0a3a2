"""``specwatch scan``: which recordings the panel finds sick, and where."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
from rich.console import Console
from rich.text import Text

from detectors.draft_health import DraftHealth, DraftState
from detectors.verdict import Verdict
from monitor.offline.marked import marked_place, printable
from monitor.offline.panels import Panels
from monitor.offline.recording import Recording
from monitor.offline.replay import observations
from monitor.offline.watch import Course, follow

VERDICT_FIELDS = ("kind", "detector", "score", "onset_token", "alarm_token", "reason")


@dataclass(frozen=True, slots=True)
class Scanned:
    """One recording, looked at.

    Attributes:
        crashed: detectors that failed on it, and were left out from there on.
    """

    record: Recording
    course: Course
    crashed: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict | None:
        return self.course.verdict


def scan(records: Iterable[Recording], panels: Panels) -> Iterator[Scanned]:
    """Looks at each with a panel of its own; the verdict does not depend on the order."""
    for record in records:
        panel = panels.panel(record)
        course = follow(panel, observations(record))
        yield Scanned(record, course, tuple(panel.crashed))


def json_line(scanned: Scanned) -> str:
    """One JSON object: ``id`` and ``verdict``."""
    found = scanned.verdict
    verdict = {name: getattr(found, name) for name in VERDICT_FIELDS} if found else None
    return msgspec.json.encode({"id": scanned.record.id, "verdict": verdict}).decode()


def print_finding(console: Console, scanned: Scanned) -> None:
    """A line, and the place in the text."""
    found = scanned.verdict
    name = Text(printable(str(scanned.record.id)), style="bold")
    if found is None:
        console.print(
            Text.assemble(name, ("  clean", "green"), f"  {scanned.course.tokens} tokens")
        )
        return
    place = f"token {found.onset_token} → {found.alarm_token}"
    head = Text.assemble(
        name, (f"  {found.kind.value}", "bold red"), f"  {found.detector}  {place}"
    )
    console.print(head.append(f"  {found.reason}"), soft_wrap=True)
    console.print(marked_place(scanned.record, found))


class Summary:
    """Counts what was seen, and asks whether whole replicas have a dead drafter."""

    def __init__(self) -> None:
        self.records = 0
        self.tokens = 0
        self.kinds: dict[str, int] = {}
        self.crashed: dict[str, int] = {}
        self._drafters: dict[tuple[str, str], DraftHealth] = {}

    @property
    def findings(self) -> int:
        return sum(self.kinds.values())

    @property
    def dead_drafters(self) -> list[tuple[str, DraftHealth]]:
        """Replica findings: of which model and engine, and why."""
        return [
            (_of(*key), drafter)
            for key, drafter in sorted(self._drafters.items())
            if drafter.state is DraftState.DEAD
        ]

    @property
    def has_finding(self) -> bool:
        """A record or a replica is sick."""
        return bool(self.findings or self.dead_drafters)

    def add(self, scanned: Scanned) -> None:
        """One more recording."""
        record, course = scanned.record, scanned.course
        self.records += 1
        self.tokens += course.tokens
        for name in scanned.crashed:
            self.crashed[name] = self.crashed.get(name, 0) + 1
        if course.verdict is not None:
            kind = course.verdict.kind.value
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
        drafter = self._drafters.setdefault(
            (record.model or "", record.engine or ""), DraftHealth()
        )
        drafter.ended(course.steps, course.accepted, record.most_drafts, course.verdict is not None)

    def lines(self) -> list[str]:
        """What to tell at the end, a line each; the first is the result."""
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.kinds.items()))
        found = f"{self.findings} with a finding ({kinds})" if kinds else "no finding"
        told = [f"{_counted(self.records, 'record')}, {_counted(self.tokens, 'token')}: {found}"]
        if self.records == 0:
            told.append("nothing was read: the input has no record")
        told += [
            f"replica finding: the drafter{whose} looks dead for everyone; {drafter.reason}. "
            "The text may be fine: look at the replica, not at its answers"
            for whose, drafter in self.dead_drafters
        ]
        told += [
            f"detector {name} failed on {_counted(count, 'record')}: please report this"
            for name, count in sorted(self.crashed.items())
        ]
        return told


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _of(model: str, engine: str) -> str:
    named = ", ".join(name for name in (model, engine) if name)
    return f" of {named}" if named else ""
