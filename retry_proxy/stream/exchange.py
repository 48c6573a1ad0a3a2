"""One request and its answer on a connection to a replica, as it arrives. Opens no socket."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from retry_proxy.errors import StreamCut, StreamStalled, UpstreamError
from retry_proxy.headers import Headers

_MAX_WAITING_BYTES = 256 * 1024  # of body that nobody takes; then the socket is not read
_READ_TIMEOUT_SECONDS = 30.0  # for small bodies read as a whole

Take = Callable[[bytes], bool]
"""Gets bytes of the body as they arrive; false: no more. What it raises ends the feed."""


class Line(Protocol):
    """The connection below."""

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def abort(self) -> None: ...


class Exchange:
    """An answer: its head, then its body, to a taker that is called for each arrival.

    A call costs a fifth of waking a task, and a fleet's tokens come one by one.

    Attributes:
        head: done when the head has arrived, or cannot.
        has_bytes: something of the answer arrived.
        status, headers: once ``head`` is done.
    """

    def __init__(self, line: Line, loop: asyncio.AbstractEventLoop) -> None:
        self._line = line
        self._loop = loop
        self.head: asyncio.Future[None] = loop.create_future()
        self.has_bytes = False
        self.status = 0
        self.headers: Headers = []
        self._take: Take | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._is_paused = False
        self._is_complete = False
        self._error: BaseException | None = None
        self._changed: asyncio.Future[None] | None = None  # somebody waits for bytes or the end
        self._byte_at = 0.0  # loop time
        self._limit_seconds: float | None = None
        self._stall_seconds: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # the taker's side

    async def feed(
        self,
        take: Take,
        first_timeout_seconds: float | None,
        stall_timeout_seconds: float | None,
    ) -> bool:
        """Hands every arrival to ``take``, to the end of the body (true) or until it says no.

        Raises:
            StreamCut: the connection broke.
            StreamStalled: no first byte in time, or no byte for ``stall_timeout_seconds`` later.
        """
        self._take = take
        self._limit_seconds, self._stall_seconds = first_timeout_seconds, stall_timeout_seconds
        self._byte_at = self._loop.time()
        self._watch()
        try:
            self._deliver_waiting()
            if self._take is not None and not self._is_over:
                await self._change()
        finally:
            self._take = None
            self._unwatch()
        if self._error is not None:
            raise self._error
        return self._is_complete and not self._waiting

    async def wait_for_bytes(
        self, is_enough: Callable[[bytes], bool], timeout_seconds: float | None
    ) -> None:
        """Returns once what waits to be taken is enough, or the body is over.

        Raises:
            StreamCut: the connection broke.
            StreamStalled: not in time.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                while not self._is_over and not is_enough(b"".join(self._waiting)):
                    if self._is_paused:
                        return  # a quarter of a megabyte without an event: the reader will tell
                    await self._change()
        except TimeoutError as error:
            raise StreamStalled(f"no event for {timeout_seconds} s") from error
        if self._error is not None:
            raise self._error

    async def next(self, timeout_seconds: float | None) -> bytes:
        """What has arrived since, for readers that wait in between; empty at the end.

        Raises:
            StreamCut: the connection broke.
            StreamStalled: nothing came in time.
        """
        if not self._waiting and not self._is_over:
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._change()
            except TimeoutError as error:
                raise StreamStalled(f"no byte for {timeout_seconds} s") from error
        if self._waiting:
            return self._drain_waiting()
        if self._error is not None:
            raise self._error
        return b""

    async def read(self, limit_bytes: int) -> bytes:
        """The body up to a limit."""
        parts = bytearray()
        while len(parts) < limit_bytes and (data := await self.next(_READ_TIMEOUT_SECONDS)):
            parts += data
        return bytes(parts[:limit_bytes])

    def pause(self) -> None:
        """Stops reading: who takes the bytes cannot pass them on. Silence is no stall meanwhile."""
        if not self._is_paused and not self._is_over:
            self._is_paused = True
            self._line.pause_reading()

    def resume(self) -> None:
        """Goes on reading."""
        if self._is_paused:
            self._is_paused = False
            self._byte_at = self._loop.time()
            if not self._is_over:
                self._line.resume_reading()

    def close(self) -> None:
        """Closes the connection at once, unless the body was read to its end."""
        if not self._is_over:
            self._line.abort()
        self._waiting.clear()

    # the connection's side

    def on_head(self, status: int, headers: Headers) -> None:
        """The head is complete."""
        self.status, self.headers = status, headers
        if not self.head.done():
            self.head.set_result(None)

    def on_body(self, data: bytes) -> None:
        """Bytes of the body arrived."""
        if self._take is None:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._waiting_bytes > _MAX_WAITING_BYTES:
                self.pause()
            self._tell()
            return
        self._byte_at = self._loop.time()
        if self._limit_seconds is not self._stall_seconds:
            self._limit_seconds = self._stall_seconds
            self._unwatch()
            self._watch()
        self._deliver(data)

    def on_end(self) -> None:
        """The body is complete."""
        self._is_complete = True
        self._tell()

    def fail(self, error: UpstreamError) -> None:
        """The connection is gone."""
        if self._is_over:
            return
        self._error = error
        if not self.head.done():
            self.head.set_exception(error)
            self.head.exception()  # who asked may be gone: nobody need look
        self._tell()

    @property
    def _is_over(self) -> bool:
        return self._is_complete or self._error is not None

    def _deliver_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._waiting_bytes = 0
        for number, data in enumerate(waiting):
            self._limit_seconds = self._stall_seconds
            self._deliver(data)
            if self._take is None:
                self._waiting = [*waiting[number + 1 :], *self._waiting]
                self._waiting_bytes = sum(map(len, self._waiting))
                return
        self.resume()

    def _drain_waiting(self) -> bytes:
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self.resume()
        return data

    def _deliver(self, data: bytes) -> None:
        assert self._take is not None, "nobody takes the bytes"
        try:
            if self._take(data):
                return
        except Exception as error:  # the feeding task raises it
            self._error = error
            self._line.abort()
        self._take = None
        self._tell()

    async def _change(self) -> None:
        self._changed = self._loop.create_future()
        try:
            await self._changed
        finally:
            self._changed = None

    def _tell(self) -> None:
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    # silence

    def _watch(self) -> None:
        if self._limit_seconds is not None:
            self._timer = self._loop.call_at(self._byte_at + self._limit_seconds, self._check)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _check(self) -> None:
        """Bytes only note the time: the timer finds out by itself that it came too early."""
        self._timer = None
        limit = self._limit_seconds
        if limit is None or self._is_over:
            return
        if self._is_paused:
            self._byte_at = self._loop.time()
        elif self._loop.time() - self._byte_at >= limit:
            self.fail(StreamStalled(f"no byte for {limit:g} s"))
            self._line.abort()
            return
        self._watch()


def cut(reason: str) -> StreamCut:
    """The connection broke."""
    return StreamCut(f"the connection broke: {reason}")
