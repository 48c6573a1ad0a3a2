"""What turns released pieces of one or more attempts into one coherent client stream."""

from collections.abc import Sequence
from typing import Protocol

from retry_proxy.engines.adapter import Piece, Prefix
from retry_proxy.errors import Unanswered


class ClientEncoder(Protocol):
    """Writes one client stream, or the one body of an answer that is not streamed."""

    def start_attempt(self, prefix: Prefix | None) -> None:
        """The next pieces are a new attempt's; ``prefix`` is what the client already has."""
        ...

    def encode(self, pieces: Sequence[Piece]) -> bytes:
        """Bytes for the client of pieces that are released together, maybe none."""
        ...

    def count_plain(self, tokens: int) -> None:
        """A plain event (``Piece.is_plain``) went on as it came, without being encoded."""
        ...

    def finish_at_limit(self) -> bytes:
        """The finish chunk for an answer that its token limit ended and no engine finished."""
        ...

    def close(self) -> bytes:
        """What comes after the last piece, the end mark excepted."""
        ...

    def end_mark(self) -> bytes:
        """What tells the client that the answer is whole: ``[DONE]``, or the last event."""
        ...

    def error(self, error: Unanswered) -> bytes:
        """An in-band error; no end mark follows it."""
        ...

    def whole(self) -> object:
        """The body of a non-streaming answer, of all pieces so far."""
        ...
