"""What the sanitizer says about the tokens of one generation."""

import enum
from dataclasses import dataclass, field

MAX_WRITERS = 8


class Corruption(enum.StrEnum):
    """Why a token's cache was not what the engine meant it to read.

    The first that applies, in this order.
    """

    FOREIGN = "foreign"  # somebody else wrote over the page
    STALE = "stale"  # the page was never filled: it holds what was there before
    UNREADY = "unready"  # it was read before its content had arrived
    DERIVED = "derived"  # the cache was in place, but computed from one of the above


@dataclass(frozen=True, slots=True, order=True)
class Writer:
    """Who wrote what should not have been there.

    Attributes:
        request_id: the request that the write was made for; ``None`` if it is not known any more.
        by: ``compute``, ``transfer`` or ``load``.
    """

    request_id: str | None
    by: str


@dataclass(slots=True)
class KvLabels:
    """Tokens of one generation by the state of the cache that they were computed from.

    Attributes:
        tokens: how many of each kind; tokens from sound cache are not counted.
        first_token: index, in the answer, of the first one that was not sound.
        writers: the first few that were named.
    """

    tokens: dict[Corruption, int] = field(default_factory=dict)
    first_token: int | None = None
    writers: list[Writer] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.tokens.values())

    def count(self, kind: Corruption, tokens: int, first: int) -> None:
        """``tokens`` tokens, the first of them number ``first``, came from such cache."""
        self.tokens[kind] = self.tokens.get(kind, 0) + tokens
        if self.first_token is None:
            self.first_token = first

    def name(self, writers: list[Writer]) -> None:
        for writer in writers:
            if writer not in self.writers and len(self.writers) < MAX_WRITERS:
                self.writers.append(writer)
