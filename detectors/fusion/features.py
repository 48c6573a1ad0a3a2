"""What the fusion looks at. The same function reads the features in training and in a stream."""

from typing import Protocol

FEATURES = ("low_acceptance", "text", "rare", "token_rank", "repeats", "surprisal")
"""Evidence for low acceptance (bits); surprise of the text (log-odds); rare characters; surge of
rare token ids (bits of rank); how far the tail repeats (0 to 1); surge of surprisal (nats)."""

UPPER = (30.0, 8.0, 8.0, 4.0, 1.0, 8.0)
LOWER = (0.0, -4.0, 0.0, 0.0, 0.0, 0.0)
"""Values beyond count as these: no single source decides without limit."""

Features = tuple[float, float, float, float, float, float]


class Acceptance(Protocol):
    """What the fusion reads of the acceptance detector."""

    @property
    def low_bits(self) -> float: ...


class Text(Protocol):
    """What the fusion reads of the text detector."""

    @property
    def surprise(self) -> float: ...
    @property
    def rare_score(self) -> float: ...
    @property
    def token_rank(self) -> float: ...


class Repeats(Protocol):
    """What the fusion reads of the repetition detector."""

    @property
    def strength(self) -> float: ...


def read_features(
    acceptance: Acceptance,
    text: Text,
    repeats: Repeats,
    surprisal: float,
    most_bits: float = UPPER[0],
) -> Features:
    """The features now, within their limits.

    Args:
        most_bits: low acceptance that may be the drafter's own counts for no more.
    """
    return (
        min(acceptance.low_bits, most_bits, UPPER[0]),
        min(max(text.surprise, LOWER[1]), UPPER[1]),
        min(max(text.rare_score, 0.0), UPPER[2]),
        min(max(text.token_rank, 0.0), UPPER[3]),
        min(max(repeats.strength, 0.0), 1.0),
        min(max(surprisal, 0.0), UPPER[5]),
    )
