"""A client that does not read: the engine waits, the proxy's memory does not grow."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from retry_proxy.config import EngineName
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import proxy_for
from tests.fakes.served import served

EVENTS = 4_000
FILLER = "x" * 8_000  # in each event, beside its text


@dataclass
class Flood:
    """An engine that sends plain events as fast as they are taken."""

    address: str = ""
    sent_bytes: int = 0


def event(text: str | None) -> bytes:
    reason = None if text is not None else "stop"
    choice: dict[str, Any] = {"index": 0, "delta": {"content": text} if text else {}}
    choice["finish_reason"] = reason
    data = b"data: " + json.dumps({"id": FILLER, "choices": [choice]}).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


@contextlib.asynccontextmanager
async def flood() -> AsyncIterator[Flood]:
    found = Flood()
    plain = event(" word")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"POST"):
                writer.write(b"HTTP/1.1 404 N\r\ncontent-length: 0\r\n\r\n")
                writer.close()
                return
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(EVENTS):
                writer.write(plain)
                found.sent_bytes += len(plain)
                await writer.drain()
            done = b"data: [DONE]\n\n"
            writer.write(event(None) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(done), done))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    found.address = f"http://{host}:{port}"
    try:
        yield found
    finally:
        server.close()
        await server.wait_closed()


async def test_a_client_that_does_not_read_stops_the_engine_and_loses_nothing() -> None:
    async with flood() as engine:
        replica = cast(FakeEngine, SimpleNamespace(address=engine.address))
        async with proxy_for(replica, engine=EngineName.OPENAI) as proxy, served(proxy) as address:
            host, _, port = address.removeprefix("http://").rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port), limit=2**16)
            body = b'{"stream": true, "messages": []}'
            writer.write(
                b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b"
                % (len(body), body)
            )
            with contextlib.closing(writer):
                before = -1
                while engine.sent_bytes != before:
                    before = engine.sent_bytes
                    await asyncio.sleep(0.7)
                assert before < 24 * 2**20, "more than the sockets of both sides take"
                count, tail = 0, b""
                while not tail.endswith(b"0\r\n\r\n"):
                    data = await asyncio.wait_for(reader.read(2**20), 10)
                    assert data, "the answer was cut"
                    count += data.count(b'"content"')
                    tail = (tail + data)[-20:]
    assert count >= EVENTS * 0.95, "a mark cut by two reads is not counted, no more than that"
