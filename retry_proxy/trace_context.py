"""W3C Trace Context: reads a client's, makes the spans' ids, writes what an engine gets.

https://www.w3.org/TR/trace-context/. Knows nothing of spans beyond their ids.
"""

import re
import secrets
from dataclasses import dataclass, replace
from typing import Self

from retry_proxy.headers import Headers

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
SAMPLED, RANDOM = 1, 2  # bits of the flags that this version of the standard gives a meaning
# Later versions may have more after the flags, and only after a dash; version ff is none.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
# An id is a UUID of version 4: nearer its front, bits say which version and variant it is.
_DRAWN_DIGITS = 14


@dataclass(frozen=True, slots=True)
class TraceContext:
    """One span's place in its trace.

    Attributes:
        trace_id: 32 hex digits.
        span_id, parent_id: 16 hex digits; ``parent_id`` is ``None`` for a trace that begins here.
        is_remote: the parent is the client's span.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    flags: int
    is_remote: bool = False

    @property
    def is_sampled(self) -> bool:
        """Its spans are to be kept."""
        return bool(self.flags & SAMPLED)

    @property
    def traceparent(self) -> str:
        """As a header of what this span asks of others."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def child(self) -> Self:
        """A new span below this one."""
        return replace(self, span_id=new_span_id(), parent_id=self.span_id, is_remote=False)

    def hand_on(self, headers: Headers) -> Headers:
        """The headers with this span in place of whatever they named."""
        kept = [pair for pair in headers if pair[0] != TRACEPARENT]
        if not self._continues(headers):  # its state belongs to a trace that ended here
            kept = [pair for pair in kept if pair[0] != TRACESTATE]
        return [*kept, (TRACEPARENT, self.traceparent)]

    def _continues(self, headers: Headers) -> bool:
        client = client_context(headers)
        return client is not None and client.trace_id == self.trace_id


@dataclass(frozen=True, slots=True)
class Tracing:
    """How traces begin.

    Attributes:
        sample_rate: share of those begun here that are kept. A client's choice is not overruled.
    """

    sample_rate: float = 1.0

    def begin(self, headers: Headers, request_id: str) -> TraceContext:
        """The request's span: below the client's, or the first of a trace with the request's id."""
        client = client_context(headers)
        if client is not None:
            return replace(client, span_id=new_span_id(), parent_id=client.span_id, is_remote=True)
        is_kept = int(request_id[-_DRAWN_DIGITS:], 16) < self.sample_rate * 16**_DRAWN_DIGITS
        return TraceContext(request_id, new_span_id(), None, SAMPLED if is_kept else 0)


def client_context(headers: Headers) -> TraceContext | None:
    """What the client says it is in, ``None`` where that is nothing valid."""
    found = [value for name, value in headers if name == TRACEPARENT]
    match = _TRACEPARENT.fullmatch(found[0].strip()) if len(found) == 1 else None
    if match is None:
        return None
    version, trace_id, span_id, flags, more = match.groups()
    is_empty = not int(trace_id, 16) or not int(span_id, 16)
    if is_empty or (version == "00" and more is not None):
        return None
    return TraceContext(trace_id, span_id, None, int(flags, 16) & (SAMPLED | RANDOM))


def new_span_id() -> str:
    """16 hex digits, never all zero."""
    return f"{secrets.randbelow(2**64 - 1) + 1:016x}"
