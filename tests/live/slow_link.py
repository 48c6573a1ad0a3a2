"""A TCP link that can be made slow: every piece that comes through waits as long as it is told."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class SlowLink:
    """Passes connections on to one port of this machine.

    Attributes:
        delay_seconds: what every piece waits on its way back, from now on.
    """

    def __init__(self, port: int) -> None:
        self.delay_seconds = 0.0
        self.port = 0
        self._ahead = port
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            ahead, there = await asyncio.open_connection("127.0.0.1", self._ahead)
        except OSError:
            writer.close()
            self._tasks.discard(task)
            return
        up = asyncio.create_task(_pump(reader, there, lambda: 0.0))
        try:
            # Cancelled only by ``end``; asyncio's server would tell of it as of a failure.
            with contextlib.suppress(asyncio.CancelledError):
                await _pump(ahead, writer, lambda: self.delay_seconds)
        finally:
            up.cancel()
            writer.close()
            there.close()
            self._tasks.discard(task)

    async def end(self) -> None:
        """Every connection with it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: Callable[[], float]
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            await asyncio.sleep(delay())
            writer.write(data)
            await writer.drain()


@asynccontextmanager
async def slow_link(port: int) -> AsyncIterator[SlowLink]:
    """A link to ``port``, at first as quick as it can be."""
    link = SlowLink(port)
    server = await asyncio.start_server(link.serve, "127.0.0.1", 0)
    link.port = server.sockets[0].getsockname()[1]
    try:
        yield link
    finally:
        server.close()
        await link.end()
        await server.wait_closed()
