"""The proxy behind its real server, and a client that sends bytes."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any, Protocol

import uvicorn

from retry_proxy.edge import EdgeLimits, edge_protocol


class Served(Protocol):
    """What has an application."""

    @property
    def app(self) -> Any: ...


@contextlib.asynccontextmanager
async def served(proxy: Served, **options: Any) -> AsyncIterator[str]:
    settings: dict[str, Any] = {"lifespan": "off", "log_level": "critical", "access_log": False}
    settings["http"] = edge_protocol(EdgeLimits())
    server = uvicorn.Server(uvicorn.Config(proxy.app, **(settings | options)))
    listening = socket.create_server(("127.0.0.1", 0))  # clients queue until the server accepts
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listening.close()


async def send_bytes(address: str, *parts: bytes, silence_seconds: float = 0.5) -> bytes:
    """Sends, then reads until the server closes or is silent."""
    host, _, port = address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        with contextlib.suppress(TimeoutError, ConnectionError):
            while data := await asyncio.wait_for(reader.read(65536), silence_seconds):
                answer += data
    finally:
        writer.close()
    return answer
