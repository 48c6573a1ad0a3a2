"""A server that answers with bytes exactly as a test wrote them, right or wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"


@dataclass
class RawServer:
    """Where it listens, and the request lines that it read."""

    address: str = ""
    lines: list[str] = field(default_factory=list)

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(line.split(" ")[1] == path for line in self.lines)


@asynccontextmanager
async def raw_server(answer: Callable[[str], bytes | None]) -> AsyncIterator[RawServer]:
    """One request a connection; ``answer`` maps ``METHOD path``, ``None`` never answers."""
    seen = RawServer()
    is_over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = (await reader.readline()).decode().strip()
            seen.lines.append(line)
            data = answer(line.rpartition(" ")[0])
            if data is None:
                await is_over.wait()
            else:
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    seen.address = f"http://{host}:{port}"
    try:
        yield seen
    finally:
        is_over.set()
        server.close()
        await server.wait_closed()
