"""A replica that keeps every byte it is sent, and reads them with the strict reader alone."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from retry_proxy.engines.detect import PROBED_PATHS
from tests.fakes.strict_http import Reading, Request, read_requests

_PROBES = {*PROBED_PATHS, "/health", "/health_generate"}


@dataclass
class RawEcho:
    """Where it listens, the bytes of each connection, and the requests in order of arrival."""

    address: str = ""
    arrived: list[Request] = field(default_factory=list)
    connections: list[bytearray] = field(default_factory=list)

    def readings(self) -> list[Reading]:
        """What a strict server makes of each connection."""
        return [read_requests(bytes(data)) for data in self.connections]

    def requests(self) -> list[Request]:
        """All of them but the proxy's own probes."""
        return [one for one in self.arrived if one.target not in _PROBES]


@asynccontextmanager
async def raw_echo() -> AsyncIterator[RawEcho]:
    """Answers each request with its target and body; bytes that are no request get a 400."""
    echo = RawEcho()
    open_ones: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_ones[task] = writer
        received = bytearray()
        echo.connections.append(received)
        answered = 0
        try:
            while data := await reader.read(65536):
                received += data
                reading = read_requests(bytes(received))
                for request in reading.requests[answered:]:
                    echo.arrived.append(request)
                    writer.write(_answer(request))
                answered = len(reading.requests)
                if reading.error is not None:
                    writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
                    break
        except ConnectionError:
            pass
        finally:
            del open_ones[task]
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    echo.address = f"http://{host}:{port}"
    try:
        yield echo
    finally:
        server.close()
        for writer in open_ones.values():
            writer.close()
        while open_ones:
            await asyncio.wait(open_ones)
        await server.wait_closed()


def _answer(request: Request) -> bytes:
    is_probe = request.target in _PROBES
    told = {"target": request.target, "body": request.body.decode("latin-1")}
    body = b"" if request.method == "HEAD" else json.dumps(told).encode()
    status = b"404 Not Found" if is_probe and request.target != "/health" else b"200 OK"
    length = len(json.dumps(told))
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status, length, body)
