"""What one replayed request came to. Numbers and our own words; no text of an answer."""

import enum

import msgspec


class Failure(enum.StrEnum):
    """Why there is no whole answer."""

    CONNECT = "connect"  # refused, or no name
    TIMEOUT = "timeout"
    STATUS = "status"  # with the number
    CUT = "cut"  # the connection broke, or the stream ended without a finish reason
    IN_BAND = "in_band"  # an error event
    MALFORMED = "malformed"
    INTERRUPTED = "interrupted"  # by Ctrl-C: counts nowhere


CAUSES = ("foreign", "stale", "unready", "derived")


class Sanitizer(msgspec.Struct, frozen=True):
    """What the integrated engine's own record says: tokens computed from wrong cache, by cause.

    Attributes:
        derived: from cache that was in place, but computed from one of the others.
        writers: who had written there.
    """

    foreign: int = 0
    stale: int = 0
    unready: int = 0
    derived: int = 0
    writers: tuple[str, ...] = ()

    @property
    def causes(self) -> tuple[str, ...]:
        """The causes that occurred."""
        return tuple(name for name in CAUSES if getattr(self, name) > 0)


class Outcome(msgspec.Struct, frozen=True):
    """One request, as the client saw it.

    Attributes:
        number: of the planned request.
        at_seconds: when it was due.
        lag_seconds: how much later it was sent.
        status: of HTTP, ``None`` without an answer.
        first_token_seconds, last_token_seconds, seconds: from the sending; the last one to the
            end of the stream.
        prompt_tokens, completion_tokens: as the target counted them.
        verdict: kind of the finding that the answer was delivered with, by specwatch.
        attempts: dispatches, by specwatch.
        sanitizer: ``None`` where the target has none.
    """

    number: int
    at_seconds: float
    lag_seconds: float
    failure: Failure | None = None
    status: int | None = None
    first_token_seconds: float | None = None
    last_token_seconds: float | None = None
    seconds: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    verdict: str | None = None
    attempts: int | None = None
    sanitizer: Sanitizer | None = None

    @property
    def per_token_seconds(self) -> float | None:
        """Mean time of a token after the first."""
        if self.first_token_seconds is None or self.last_token_seconds is None:
            return None
        if self.completion_tokens is None or self.completion_tokens < 2:
            return None
        span = self.last_token_seconds - self.first_token_seconds
        return span / (self.completion_tokens - 1)
