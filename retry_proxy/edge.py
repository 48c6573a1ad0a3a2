"""The HTTP/1.1 edge: uvicorn's protocol, with what it leaves to others.

Uvicorn (read: 0.54) takes requests with no host or two, heads of any size, and trailers as headers;
a client that never finishes its head keeps its socket for ever, and one that offers an upgrade
(Java's does, to h2c) loses its body.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from retry_proxy.stream.writer import WRITER, BodyWriter

# With an underscore some servers take them for the real ones.
_LOOKALIKES = frozenset({b"content_length", b"transfer_encoding"})
_BAD_REQUEST, _TIMEOUT, _URI_TOO_LONG, _HEAD_TOO_LARGE = 400, 408, 414, 431
_NOT_SUPPORTED = 505
_HOST = re.compile(rb"(?:[0-9A-Za-z._~!$&'()*+;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?")  # RFC 3986
# What chunks may weigh beside their content: one byte in a chunk takes five more.
_FRAMING_BYTES_PER_BYTE = 16


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """What a client may send.

    Attributes:
        head_bytes: request line and headers.
        target_bytes: path and query.
        headers: number of them.
        receive_timeout_seconds: for the whole head, and between two arrivals of the body.
    """

    head_bytes: int = 32 * 1024
    target_bytes: int = 8 * 1024
    headers: int = 100
    receive_timeout_seconds: float = 10.0


class Refused(Exception):
    """The request cannot be taken; the parser's callback ends with it."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class EdgeProtocol(HttpToolsProtocol):
    """One client connection."""

    limits = EdgeLimits()
    is_leaving: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_bytes = 0
        self._hosts = 0
        self._refused: Refused | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._is_reading_body = False
        self._writers: list[BodyWriter] = []  # of requests whose end is not known here
        self._offers_upgrade = False
        self._wire_bytes = self._body_bytes = 0  # of the body: as sent, and its content

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect_nothing()
        super().connection_lost(exc)
        for writer in self._writers:
            if writer.on_gone is not None:
                writer.on_gone()
        self._writers.clear()

    def data_received(self, data: bytes) -> None:
        if self._is_reading_body:
            self._expect()
            self._wire_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
            self._check_framing()
        except (httptools.HttpParserError, Refused):
            self.send_400_response("Invalid HTTP request received.")
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])

    # httptools

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = self._hosts = self._wire_bytes = self._body_bytes = 0
        self._expect()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))
        if len(self.url) > self.limits.target_bytes:
            self._refuse(_URI_TOO_LONG, "the request target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        if self._is_reading_body:
            return  # a trailer: it must not become one of the headers (RFC 9110, 6.5.1)
        super().on_header(name, value)
        self._hosts += self.headers[-1][0] == b"host"
        if len(self.headers) > self.limits.headers:
            self._refuse(_HEAD_TOO_LARGE, "too many headers")
        if self.headers[-1][0] in _LOOKALIKES:
            self._refuse(_BAD_REQUEST, "a header name with an underscore")

    def on_headers_complete(self) -> None:
        self._check_head()
        self._offers_upgrade = self.parser.should_upgrade()
        if self._offers_upgrade:
            return  # the parser stops here; see _decline_upgrade
        self._expect()
        self._is_reading_body = True
        super().on_headers_complete()
        # The application's task has not started yet.
        writer = BodyWriter(self.cycle)
        self._writers = [one for one in self._writers if one.on_gone is not None]
        self._writers.append(writer)
        extensions: dict[str, Any] = {WRITER: writer}
        self.scope["extensions"] = extensions
        if self.is_leaving():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._offers_upgrade:
            return
        self._is_reading_body = False
        self._expect_nothing()
        super().on_message_complete()

    # the head

    def _check_head(self) -> None:
        """Refuses what another server may read differently."""
        version, names = self.parser.get_http_version(), dict(self.headers)
        if version not in {"1.0", "1.1"}:
            self._refuse(_NOT_SUPPORTED, "this version of HTTP is not spoken here")
        if self._hosts > 1 or (self._hosts == 0 and version == "1.1"):
            self._refuse(_BAD_REQUEST, "exactly one host header is needed")
        if not _HOST.fullmatch(names.get(b"host", b"")):
            self._refuse(_BAD_REQUEST, "this is no host")
        if b"transfer-encoding" in names:
            self._check_coding(version)
        if not self.url.startswith(b"/") or b"#" in self.url:
            self._refuse(_BAD_REQUEST, "the request target must be a path")

    def _check_coding(self, version: str) -> None:
        """One coding: with others before it the parser would take the body and drop their names."""
        if version == "1.0":
            self._refuse(_BAD_REQUEST, "HTTP/1.0 has no transfer encodings")
        codings = [value for name, value in self.headers if name == b"transfer-encoding"]
        if len(codings) != 1 or codings[0].strip().lower() != b"chunked":
            self._refuse(_BAD_REQUEST, "chunked is the only transfer encoding")

    def _decline_upgrade(self, rest: bytes) -> None:
        """Reads the request again without its offer, which a server may ignore (RFC 9110, 7.8).

        Args:
            rest: the body, and what follows it.
        """
        assert self._offers_upgrade, "CONNECT was refused by its target"
        self._offers_upgrade = False
        kept = [(name, value) for name, value in self.headers if name != b"upgrade"]
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, self._version())]
        lines += [b"%b: %b" % header for header in kept]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _version(self) -> bytes:
        return self.parser.get_http_version().encode()

    # refusals

    def send_400_response(self, msg: str) -> None:
        refused, self._refused = self._refused, None
        self._expect_nothing()
        cycle = self.cycle
        if cycle is not None and cycle.response_started and not cycle.response_complete:
            self.transport.abort()  # another answer is on this socket: no second one goes into it
            return
        status = _BAD_REQUEST if refused is None else refused.status
        reason = (msg if refused is None else f"Refused: {refused}.").encode()
        lines = [
            STATUS_LINE[status].rstrip(b"\r\n"),
            b"content-type: text/plain; charset=utf-8",
            b"content-length: %d" % len(reason),
            b"connection: close",
        ]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + reason)
        self.transport.close()

    def _refuse(self, status: int, reason: str) -> None:
        self._refused = Refused(status, reason)
        raise self._refused

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self.limits.head_bytes:
            self._refuse(_HEAD_TOO_LARGE, "the head is too large")

    def _check_framing(self) -> None:
        """Extensions of chunks have no end of their own, and are no part of the body's limit."""
        allowed = self.limits.head_bytes + _FRAMING_BYTES_PER_BYTE * self._body_bytes
        if self._is_reading_body and self._wire_bytes - self._body_bytes > allowed:
            self._refuse(_BAD_REQUEST, "too much around the body")

    # time

    def _expect(self) -> None:
        """Something must come in time."""
        self._expect_nothing()
        self._deadline = self.loop.call_later(self.limits.receive_timeout_seconds, self._too_late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if self.transport.is_closing():
            return
        self._refused = Refused(_TIMEOUT, "the request did not come in time")
        self.send_400_response("")


def edge_protocol(
    limits: EdgeLimits, is_leaving: Callable[[], bool] = lambda: False
) -> type[asyncio.Protocol]:
    """The protocol class with these limits, as uvicorn's ``http`` option takes it.

    Args:
        is_leaving: the process is about to stop: answers to requests that come from now on close
            their connections, so that clients open the next one elsewhere.
    """
    own = {"limits": limits, "is_leaving": staticmethod(is_leaving)}
    return type("EdgeProtocol", (EdgeProtocol,), own)
