"""An upstream and its clients in one process, in lock-step: what a proxy between them costs.

A stream's next event leaves the upstream only once the client has the one before. So nothing can
coalesce: every event is one write, one read and one write of the proxy.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import cast

_EVENT = b'"content"'  # once in each event that carries text
_STREAM = re.compile(rb"stream-number-(\d+)")
_ROUTE = "/v1/chat/completions"
_MODELS = json.dumps({"object": "list", "data": [{"id": "mock", "object": "model"}]}).encode()


def words() -> list[str]:
    """Tokens of a healthy text, so that no detector fires: a story written for it."""
    text = resources.files("benchmarks").joinpath("stream_load.txt").read_text("utf-8")
    return re.findall(r"\s*\S{1,6}", text)


def events(texts: Sequence[str]) -> list[bytes]:
    """A chunk of an HTTP body for each token, as OpenAI-compatible servers write them."""
    found = []
    for text in texts:
        choice = {"index": 0, "delta": {"content": text}, "logprobs": None, "finish_reason": None}
        body = {
            "id": "chatcmpl-0123456789abcdef",
            "object": "chat.completion.chunk",
            "created": 1_700_000_000,
            "model": "mock",
            "choices": [choice],
        }
        event = b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"
        found.append(b"%x\r\n%b\r\n" % (len(event), event))
    return found


@dataclass(slots=True)
class Stream:
    """One answer: where the upstream writes it, and how much the client has.

    Attributes:
        received: events that reached the client.
    """

    upstream: asyncio.Transport | None = None
    sent: int = 0
    received: int = 0


@dataclass(slots=True)
class Load:
    """All streams of one run.

    Attributes:
        per_second: events a stream gets each second; ``None``: as fast as the proxy passes them on.
    """

    streams: list[Stream]
    events: Sequence[bytes]
    per_second: float | None = None
    received: int = 0
    errors: list[str] = field(default_factory=list)

    def send_next(self, stream: Stream) -> None:
        """The upstream writes the stream's next event."""
        if stream.upstream is not None and not stream.upstream.is_closing():
            stream.upstream.write(self.events[stream.sent % len(self.events)])
            stream.sent += 1

    def arrived(self, stream: Stream, count: int) -> None:
        """The client got events."""
        stream.received += count
        self.received += count
        if self.per_second is None:
            self.send_next(stream)


class UpstreamConnection(asyncio.Protocol):
    """Answers probes, and begins the stream that a request names."""

    def __init__(self, load: Callable[[], Load]) -> None:
        self._load = load
        self._seen = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        head, blank, body = self._seen.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not blank or len(body) < int(length[1] if length else 0):
            return
        self._seen = b""
        assert self._transport is not None
        if _ROUTE.encode() in head.split(b"\r\n", 1)[0]:
            self._begin(self._transport, body)
        else:
            self._transport.write(_whole(head.split(b" ", 2)[1]))

    def _begin(self, transport: asyncio.Transport, body: bytes) -> None:
        named = _STREAM.search(body)
        assert named is not None, "a request without a stream's number"
        streams = self._load().streams
        if int(named[1]) >= len(streams):
            transport.abort()  # somebody asks again for a stream of the window before
            return
        stream = streams[int(named[1])]
        stream.upstream = transport
        transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        self._load().send_next(stream)


def _whole(path: bytes) -> bytes:
    """Healthy, serves a model, and says nothing else of itself."""
    known = {b"/v1/models": _MODELS, b"/health": b"{}"}
    status = b"200 OK" if path in known else b"404 Not Found"
    body = known.get(path, b"{}")
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
        status,
        len(body),
        body,
    )


class ClientConnection(asyncio.Protocol):
    """Asks for one stream and counts its events; they are cut by no parser."""

    def __init__(self, load: Load, number: int) -> None:
        self._load = load
        self._stream = load.streams[number]
        self._number = number
        self._rest = b""
        self.first_at: float | None = None
        self.asked_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        message = {"role": "user", "content": f"stream-number-{self._number}"}
        body = json.dumps({"model": "mock", "stream": True, "messages": [message]}).encode()
        head = f"POST {_ROUTE} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        self.asked_at = time.perf_counter()
        cast("asyncio.Transport", transport).write(
            head.encode() + b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )

    def data_received(self, data: bytes) -> None:
        if self.first_at is None and b" 200 " not in data[:16]:
            self._load.errors.append(data[:200].decode("latin-1"))
        seen = self._rest + data
        count = seen.count(_EVENT)
        # What may be the beginning of the next mark.
        self._rest = seen[seen.rfind(_EVENT) + 1 :][-len(_EVENT) + 1 :]
        if count:
            self.first_at = self.first_at or time.perf_counter()
            self._load.arrived(self._stream, count)
