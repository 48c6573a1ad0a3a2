"""One HTTP/1.1 connection to a replica: bytes out, a parser in, one exchange at a time."""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from retry_proxy.headers import Headers
from retry_proxy.stream.exchange import Exchange, cut

_MAX_HEAD_BYTES = 64 * 1024


class Connection:
    """A socket that is used for one request after the other; an ``asyncio.Protocol`` by its shape.

    Args:
        on_idle: told when an answer is complete and the connection can be used again.
        opened: it is in there as long as its socket is open.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_idle: Callable[["Connection"], None],
        opened: set["Connection"],
    ) -> None:
        self._loop = loop
        self._opened = opened
        self._on_idle = on_idle
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._headers: Headers = []
        self._head_bytes = 0
        self._is_interim = False  # a 1xx answer, which another one follows
        self._has_no_body = False  # HEAD: its lengths are those of another request
        self._ends_with_close = False
        self._writable: asyncio.Future[None] | None = None  # not done: the socket is full
        self.idle_since = 0.0  # loop time

    # requests

    def start(self, head: bytes, *, has_answer_body: bool) -> Exchange:
        """Sends a request's head, and its body if it stands behind it."""
        assert self._exchange is None, "the connection is in use"
        assert self._transport is not None, "the connection is closed"
        self._has_no_body = not has_answer_body
        self._ends_with_close = False
        self._exchange = Exchange(self, self._loop)
        self._transport.write(head)
        return self._exchange

    async def write(self, data: bytes) -> None:
        """Sends a part of a body; waits while the socket is full."""
        if self._transport is not None:
            self._transport.write(data)
        if self._writable is not None:
            await asyncio.shield(self._writable)

    @property
    def is_usable(self) -> bool:
        return (
            self._transport is not None
            and not self._transport.is_closing()
            and self._exchange is None
        )

    def pause_reading(self) -> None:
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        """Closes the socket at once; the exchange that runs fails."""
        if self._transport is not None:
            self._transport.abort()
        self._fail("closed")

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._opened.add(self)
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has its own base

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.abort()  # bytes that nobody asked for
            return
        exchange.has_bytes = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"not HTTP ({type(error).__name__})")
            self.abort()

    def eof_received(self) -> None:
        """The socket is closed then, and ``connection_lost`` comes."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._opened.discard(self)
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        exchange = self._exchange
        if exchange is not None and self._ends_with_close and exc is None:
            self._exchange = None
            exchange.on_end()
        else:
            self._fail("closed by the replica" if exc is None else type(exc).__name__)

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # httptools

    def on_message_begin(self) -> None:
        self._headers = []
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > _MAX_HEAD_BYTES:
            raise ValueError("the head of the answer is too large")
        self._headers.append((name.decode("latin-1"), value.decode("utf-8", "surrogateescape")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self._is_interim = 100 <= status < 200
        if self._is_interim or self._exchange is None:
            return
        names = {name.lower() for name, _ in self._headers}
        self._ends_with_close = not names & {"content-length", "transfer-encoding"}
        self._exchange.on_head(status, self._headers)
        if self._has_no_body:
            self._end(can_go_on=False)

    def on_body(self, body: bytes) -> None:
        if self._exchange is not None:
            self._exchange.on_body(body)

    def on_message_complete(self) -> None:
        if not self._is_interim and self._exchange is not None:
            self._end(can_go_on=self._parser.should_keep_alive())

    def _end(self, *, can_go_on: bool) -> None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None, "no exchange runs"
        exchange.on_end()
        if not can_go_on:
            if self._transport is not None:
                self._transport.close()
            return
        self.idle_since = self._loop.time()
        self._on_idle(self)

    def _fail(self, reason: str) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.fail(cut(reason))
