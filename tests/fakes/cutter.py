"""A way to a real engine that breaks: the first generation through it is cut after some bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class _Cutter:
    """Passes connections on until it has cut one.

    Args:
        after_bytes: of the answer to a POST; ``None`` cuts none.
    """

    def __init__(self, host: str, port: int, after_bytes: int) -> None:
        self._host = host
        self._port = port
        self._after_bytes: int | None = after_bytes
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        ahead, there = await asyncio.open_connection(self._host, self._port)
        is_generation = asyncio.Event()
        up = asyncio.create_task(_send_up(reader, there, is_generation))
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await self._send_down(ahead, writer, is_generation)
        finally:
            up.cancel()
            writer.close()
            there.close()
            self.tasks.discard(task)

    async def _send_down(
        self, ahead: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event
    ) -> None:
        sent = 0
        while data := await ahead.read(256):
            writer.write(data)
            await writer.drain()
            if not cut.is_set() or self._after_bytes is None:
                continue
            sent += len(data)
            if sent >= self._after_bytes:
                self._after_bytes = None
                return


async def _send_up(
    reader: asyncio.StreamReader, there: asyncio.StreamWriter, is_generation: asyncio.Event
) -> None:
    while data := await reader.read(65536):
        if data.startswith(b"POST "):
            is_generation.set()
        there.write(data)


@asynccontextmanager
async def cutter(address: str, after_bytes: int) -> AsyncIterator[str]:
    """An address that leads to ``address``."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    middle = _Cutter(host, int(port), after_bytes)
    server = await asyncio.start_server(middle.serve, "127.0.0.1", 0)
    ours = server.sockets[0].getsockname()
    try:
        yield f"http://{ours[0]}:{ours[1]}"
    finally:
        server.close()
        tasks = list(middle.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
