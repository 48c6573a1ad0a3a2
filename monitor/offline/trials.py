"""What one detector made of one recording whose truth is known."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from detectors.observation import Observation
from detectors.token_estimate import cut
from detectors.verdict import AnomalyKind, Verdict
from monitor.offline.loops import final_loop, recycled_from
from monitor.offline.recording import Recording, token_count
from monitor.offline.replay import TextPlaces, observations
from monitor.offline.watch import Watcher, follow


class Outcome(enum.StrEnum):
    """What an alarm, or none, was worth."""

    HIT = "hit"
    MISSED = "missed"
    FALSE_ALARM = "false alarm"  # also one that came before the damage
    TRUE_LOOP = "true loop"  # repetition was found, and nobody had damaged it, but it is one
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Case:
    """A recording with what is true of it.

    Attributes:
        onset: tokens before the first bad one; ``None``: nothing is bad.
        loop_start: token where the healthy part goes into a true loop, if it does.
        tokens: all of its tokens.
    """

    record: Recording
    stream: Sequence[Observation]
    onset: int | None
    loop_start: int | None
    tokens: int

    @property
    def healthy_tokens(self) -> int:
        return self.tokens if self.onset is None else min(self.onset, self.tokens)


@dataclass(frozen=True, slots=True)
class Trial:
    """One detector on one case.

    Attributes:
        found_by: detector of the verdict, within a panel.
        had_loop: its healthy part goes into a true loop. Whoever stops it there is right, so what
            comes after tells nothing about damage.
        delay: tokens from onset to alarm, of a hit.
        leaked: bad tokens that a client would have got; ``None`` where nothing was bad or the
            alarm came before it was.
        healthy_tokens: healthy ones that were seen.
        held: of them, those that came while the detector was watching.
    """

    outcome: Outcome
    is_damaged: bool
    had_loop: bool
    healthy_tokens: int
    held: int
    delay: int | None = None
    leaked: int | None = None
    found_by: str | None = None

    @property
    def tells_recall(self) -> bool:
        """It was damaged, and nothing was wrong before."""
        return self.is_damaged and not self.had_loop


def build_case(record: Recording) -> Case:
    """Settles what is true of ``record``."""
    stream = list(observations(record))
    tokens = sum(observation.new_tokens or 0 for observation in stream)
    onset = onset_of(record)
    return Case(record, stream, onset, _loop_start(record, onset), tokens)


def onset_of(record: Recording) -> int | None:
    """First bad token; 0 where it is only known to be bad."""
    if not record.is_damaged:
        return None
    if record.onset_char is not None and token_count(record) is None:
        return TextPlaces(record).token(record.onset_char)
    return record.onset_token or 0


def _loop_start(record: Recording, onset: int | None) -> int | None:
    """In tokens; where only the text is known, its pieces are looked at.

    A text that somebody read and called good is good: a table may look like a loop.
    """
    if record.label is not None:
        return None
    if record.token_ids is not None:
        healthy = record.token_ids[:onset]
        found = [
            start for start in (final_loop(healthy), recycled_from(healthy)) if start is not None
        ]
        return min(found, default=None)
    if record.text is None or onset is not None:
        return None
    pieces = cut(record.text)
    start = final_loop(pieces)
    return None if start is None else TextPlaces(record).token(len("".join(pieces[:start])))


def try_case(case: Case, watcher: Watcher, onset_slack: int = 0) -> Trial:
    """Shows the case to a fresh watcher.

    Args:
        onset_slack: so many tokens before the onset, an alarm is taken for right: for onsets that
            are known about.
    """
    course = follow(watcher, case.stream, case.onset)
    onset, seen = case.onset, course.tokens
    outcome = _outcome(case, course.verdict, seen, onset_slack)
    has_leak = onset is not None and outcome in {Outcome.HIT, Outcome.MISSED}
    return Trial(
        outcome=outcome,
        is_damaged=onset is not None,
        had_loop=case.loop_start is not None,
        healthy_tokens=min(seen, case.healthy_tokens),
        held=course.held,
        delay=max(0, seen - onset) if outcome is Outcome.HIT and onset is not None else None,
        leaked=max(0, course.released - (onset or 0)) if has_leak else None,
        found_by=course.verdict.detector if course.verdict is not None else None,
    )


def _outcome(case: Case, verdict: Verdict | None, seen: int, slack: int) -> Outcome:
    if verdict is None:
        return Outcome.QUIET if case.onset is None else Outcome.MISSED
    if case.onset is not None and seen > case.onset - slack:
        return Outcome.HIT
    has_looped = case.loop_start is not None and seen > case.loop_start
    if has_looped and verdict.kind is AnomalyKind.REPETITION:
        return Outcome.TRUE_LOOP
    return Outcome.FALSE_ALARM
