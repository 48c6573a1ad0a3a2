"""A detector's finding on one attempt."""

import enum
from dataclasses import dataclass, field


class AnomalyKind(enum.StrEnum):
    """What the output of a sick generation looks like."""

    GARBLED = "garbled"
    REPETITION = "repetition"
    RARE_CHAR = "rare_char"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The finding that ends an attempt.

    Attributes:
        kind: what the output looks like.
        detector: name of the detector that found it.
        score: the detector's statistic at the alarm, in its own unit (see ``evidence``).
        onset_token: estimated index of the first bad token (0-based, in generated tokens).
        alarm_token: number of generated tokens seen when the alarm was raised.
        reason: why, in words that a person can check against the stream. Never text of the answer:
            prompts and answers are private.
        evidence: the numbers behind it.
    """

    kind: AnomalyKind
    detector: str
    score: float
    onset_token: int
    alarm_token: int
    reason: str = ""
    evidence: dict[str, float] = field(default_factory=dict)
