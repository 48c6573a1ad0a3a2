"""The prefill's side of the connections: decode sides come here to lend pages. Event loop only."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from functools import partial

from inference_backend.disaggregation.keepalive import keep_alive
from inference_backend.disaggregation.messages import (
    MAX_LINE_BYTES,
    VERSION,
    Abort,
    Hello,
    Layout,
    Offer,
    Refusal,
    Report,
    Welcome,
    encode,
    read_from_decode,
)
from inference_backend.disaggregation.sender import Sender, Writes
from inference_backend.disaggregation.transport import Transport
from inference_backend.errors import TransferFailed

log = logging.getLogger(__name__)


class PrefillLink:
    """Listens on the bootstrap port.

    Args:
        wait_seconds: how long a request waits for decode to lend pages for it, and lent pages for
            their request.
    """

    def __init__(
        self, sender: Sender, transport: Transport, layout: Layout, wait_seconds: float
    ) -> None:
        self._sender, self._transport, self._layout = sender, transport, layout
        self._wait_seconds = wait_seconds
        self._offers: dict[int, asyncio.Event] = {}
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> int:
        """Returns the port. Raises ``OSError`` if it is taken."""
        self._server = await asyncio.start_server(self._accept, host, port, limit=MAX_LINE_BYTES)
        address: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return address[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        self._transport.close()

    async def wait_for_offer(self, room: int) -> None:
        """Raises ``TransferFailed`` if decode does not lend pages for the room in time."""
        if self._sender.has(room):
            return
        event = self._offers.setdefault(room, asyncio.Event())
        try:
            async with asyncio.timeout(self._wait_seconds):
                await event.wait()
        except TimeoutError as error:
            raise TransferFailed(
                f"no decode side has lent pages for bootstrap_room {room} "
                f"within {self._wait_seconds:g} s"
            ) from error
        finally:
            if self._offers.get(room) is event:
                del self._offers[room]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            keep_alive(writer)
            await self._serve(reader, writer)
        except (TransferFailed, OSError, ValueError) as error:  # ValueError: a line too long
            log.warning("a decode side was dropped: %s", error)
        except asyncio.CancelledError:
            pass  # we are stopping; the task has nothing left to do
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readline()
        hello = read_from_decode(line)
        if not isinstance(hello, Hello):
            raise TransferFailed("the first line of a decode side must be its hello")
        try:
            self._check(hello)
            target = self._transport.reach(hello.memory)
        except TransferFailed as error:
            writer.write(encode(Refusal(reason=str(error))) + b"\n")
            await writer.drain()
            raise
        writer.write(encode(Welcome(layout=self._layout)) + b"\n")
        writes = self._sender.connect(target)
        try:
            await self._listen(reader, writes, self._say_through(writer))
        finally:
            self._sender.disconnect(writes)

    def _check(self, hello: Hello) -> None:
        if hello.version != VERSION:
            raise TransferFailed(f"the decode side speaks version {hello.version}, not {VERSION}")
        difference = self._layout.difference(hello.layout)
        if difference is not None:
            raise TransferFailed(f"prefill and decode do not fit together: {difference}")

    def _say_through(self, writer: asyncio.StreamWriter) -> Callable[[Report], None]:
        """Any thread may call it; a report to a side that is gone is dropped."""
        loop = asyncio.get_running_loop()

        def write(report: Report) -> None:
            if not writer.is_closing():
                writer.write(encode(report) + b"\n")

        def say(report: Report) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(partial(write, report))

        return say

    async def _listen(
        self, reader: asyncio.StreamReader, writes: Writes, say: Callable[[Report], None]
    ) -> None:
        while line := await reader.readline():
            match read_from_decode(line):
                case Offer() as offer:
                    self._sender.offer(offer, writes, say)
                    self._wake(offer.room)
                    loop = asyncio.get_running_loop()
                    loop.call_later(self._wait_seconds, self._sender.expire, offer.room)
                case Abort(room=room):
                    self._sender.abort(room, say)
                    self._wake(room)
                case Hello():
                    raise TransferFailed("a decode side said hello twice")

    def _wake(self, room: int) -> None:
        event = self._offers.get(room)
        if event is not None:
            event.set()
