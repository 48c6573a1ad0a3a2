"""Judges the demo's answers by the engines' own record of what was damaged. Pure: no I/O.

The detectors have no say here. For each generation whose cache it damaged, a replica writes down
from which token on that was so; everything is counted against this record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

STOPPED_BY_VERDICT = "anomaly"


@dataclass(frozen=True, slots=True)
class Damage:
    """A replica's record of one damaged generation.

    Attributes:
        from_token: index of the first generated token that was computed from damaged cache.
        completion_tokens: tokens that the generation had when it ended.
    """

    rid: str
    kind: str
    from_token: int
    completion_tokens: int

    @property
    def damaged_tokens(self) -> int:
        """Tokens computed from damaged cache."""
        return max(0, self.completion_tokens - self.from_token)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One dispatch, as the client (first phase) or the monitor (second phase) saw it.

    Attributes:
        outcome: ``completed``, ``marked``, ``anomaly`` …
        alarm_token: tokens seen when a detector raised its alarm; ``None`` without a verdict.
    """

    rid: str
    outcome: str
    completion_tokens: int
    released_tokens: int
    wasted_tokens: int = 0
    alarm_token: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request came to.

    Attributes:
        is_full: the stream ended with a finish reason and ``[DONE]``, and without an error.
        attempts: in order; the last one is the one whose text the client got to the end.
    """

    is_full: bool
    seconds: float
    attempts: tuple[Attempt, ...]
    added_delay_seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One phase in numbers. ``None`` where there was nothing to measure."""

    requests: int
    full_answers: int
    answers_ended_on_damage: int
    attempts: int
    damaged_attempts: int
    aborts: int
    needless_aborts: int
    retries: int
    leaked_tokens: int
    wasted_tokens: int
    median_tokens_to_detection: float | None
    median_added_delay_seconds: float | None
    longest_added_delay_seconds: float | None
    seconds: float


def is_damaged(attempt: Attempt, damages: Mapping[str, Damage]) -> bool:
    """Whether at least one token of this attempt was computed from damaged cache."""
    damage = damages.get(attempt.rid)
    return damage is not None and damage.damaged_tokens > 0


def ended_on_damage(answer: Answer, damages: Mapping[str, Damage]) -> bool:
    """Whether the attempt that gave the end of this answer was damaged."""
    return bool(answer.attempts) and is_damaged(answer.attempts[-1], damages)


def leaked_tokens(attempt: Attempt, damages: Mapping[str, Damage]) -> int:
    """Tokens computed from damaged cache that reached the client."""
    damage = damages.get(attempt.rid)
    return 0 if damage is None else max(0, attempt.released_tokens - damage.from_token)


def tokens_to_detection(attempt: Attempt, damages: Mapping[str, Damage]) -> int | None:
    """Tokens from the true onset of the damage to the alarm; ``None`` if there was not both."""
    damage = damages.get(attempt.rid)
    if damage is None or attempt.alarm_token is None:
        return None
    return max(0, attempt.alarm_token - damage.from_token)


def score(answers: Sequence[Answer], damages: Mapping[str, Damage], seconds: float) -> Score:
    """Count one phase."""
    attempts = [attempt for answer in answers for attempt in answer.attempts]
    stopped = [attempt for attempt in attempts if attempt.outcome == STOPPED_BY_VERDICT]
    detection = [tokens_to_detection(attempt, damages) for attempt in stopped]
    known = [tokens for tokens in detection if tokens is not None]
    delays = [answer.added_delay_seconds for answer in answers if len(answer.attempts) > 1]
    return Score(
        requests=len(answers),
        full_answers=sum(answer.is_full for answer in answers),
        answers_ended_on_damage=sum(ended_on_damage(answer, damages) for answer in answers),
        attempts=len(attempts),
        damaged_attempts=sum(is_damaged(attempt, damages) for attempt in attempts),
        aborts=len(stopped),
        needless_aborts=sum(not is_damaged(attempt, damages) for attempt in stopped),
        retries=sum(max(0, len(answer.attempts) - 1) for answer in answers),
        leaked_tokens=sum(leaked_tokens(attempt, damages) for attempt in attempts),
        wasted_tokens=sum(attempt.wasted_tokens for attempt in attempts),
        median_tokens_to_detection=median(known) if known else None,
        median_added_delay_seconds=median(delays) if delays else None,
        longest_added_delay_seconds=max(delays) if delays else None,
        seconds=seconds,
    )


def is_success(protected: Score) -> bool:
    """With protection no answer ended on damaged cache, and every request got a full answer."""
    return (
        protected.requests > 0
        and protected.answers_ended_on_damage == 0
        and protected.full_answers == protected.requests
    )
