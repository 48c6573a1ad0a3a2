"""Server-sent events over any chunking of bytes. Knows no JSON."""

import re
from dataclasses import dataclass

import msgspec

from retry_proxy.errors import MalformedStream, Unanswered, error_body

_BLANK_LINE = re.compile(rb"\n\r?\n")
_KNOWN_FIELDS = (b"event", b"id", b"retry")


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One event.

    Attributes:
        raw: its bytes as received, blank line included.
        data: its data lines joined, ``None`` if it has none (a comment, a keep-alive).
    """

    raw: bytes
    data: bytes | None


class SseParser:
    """Cuts a byte stream into events; LF and CRLF line ends.

    Raises:
        MalformedStream: an event larger than ``max_event_bytes``, or a line that is no SSE field.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._buffer = bytearray()
        self._searched = 0  # bytes of the buffer known to hold no blank line's start

    def feed(self, data: bytes) -> list[SseEvent]:
        """Takes bytes, returns the events that they complete."""
        self._buffer += data
        events: list[SseEvent] = []
        start = 0
        while match := _BLANK_LINE.search(self._buffer, max(start, self._searched)):
            raw = bytes(self._buffer[start : match.end()])
            start = match.end()
            self._check_size(len(raw))
            if raw.strip(b"\r\n"):
                events.append(parse_event(raw))
        del self._buffer[:start]
        self._check_size(len(self._buffer))
        # A blank line can begin with the last two bytes ("\n\r" + "\n").
        self._searched = max(0, len(self._buffer) - 2)
        return events

    @property
    def is_empty(self) -> bool:
        """All bytes so far have been told as events."""
        return not self._buffer

    @property
    def has_rest(self) -> bool:
        """The stream so far ends within an event."""
        return bool(self._buffer.strip(b"\r\n"))

    def _check_size(self, size: int) -> None:
        if size > self._max_event_bytes:
            raise MalformedStream(f"an event is larger than {self._max_event_bytes} bytes")


def parse_event(raw: bytes) -> SseEvent:
    """Reads the lines of one event.

    Raises:
        MalformedStream: a line that is no SSE field. The standard would skip it; from an engine it
            means that the stream is not what was agreed on, and skipping it would lose text.
    """
    data: list[bytes] = []
    for line in raw.replace(b"\r\n", b"\n").split(b"\n"):
        if not line or line.startswith(b":"):
            continue
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value[1:] if value.startswith(b" ") else value)
        elif field not in _KNOWN_FIELDS:
            raise MalformedStream("a line is not an SSE field")
    return SseEvent(raw, b"\n".join(data) if data else None)


def data_event(data: bytes) -> bytes:
    """Frames one line of data."""
    return b"data: " + data + b"\n\n"


def named_event(name: str, data: bytes) -> bytes:
    """Frames one line of data as an event with a name."""
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"


def openai_error(error: Unanswered) -> bytes:
    """An in-band error in OpenAI's schema."""
    body = error_body(str(error), error.code, error.status)
    return data_event(msgspec.json.encode(body))


def comment_event(text: str) -> bytes:
    """Frames a comment, which clients ignore."""
    return b": " + text.encode() + b"\n\n"


DONE = data_event(b"[DONE]")
