"""How much of one answer may be held. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HoldBounds:
    """What is over any of them is released, the oldest first.

    Attributes:
        tokens: held at one time.
        size: bytes as received, held at one time.
        seconds: that anything is held. Looked at when more comes: a stream that says nothing any
            more is not let out by the clock, it stalls and is done again.
    """

    tokens: int
    size: int
    seconds: float
