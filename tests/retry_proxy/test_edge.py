"""What the edge takes and what it refuses, byte by byte."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from retry_proxy.edge import EdgeLimits, edge_protocol
from retry_proxy.stream.writer import WRITER, BodyWriter

GOOD = b"GET /x HTTP/1.1\r\nhost: a\r\n\r\n"


class Application:
    """Answers with the path; ``/stream`` writes past ASGI until it is told to stop."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.written = 0
        self.was_full = False
        self.may_end = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/stream":
            await self._stream(scope["extensions"][WRITER], send)
        await send({"type": "http.response.body", "body": scope["path"].encode() + body})

    async def _stream(self, writer: BodyWriter, send: Send) -> None:
        for _ in range(400):
            if writer.is_full:
                self.was_full = True
                await send({"type": "http.response.body", "body": b"", "more_body": True})
            writer.write(b"x" * 65536)
            self.written += 65536
            await asyncio.sleep(0)
        await self.may_end.wait()


@contextlib.asynccontextmanager
async def served(
    limits: EdgeLimits | None = None,
    is_leaving: Callable[[], bool] = lambda: False,
) -> AsyncIterator[tuple[Application, int]]:
    application = Application()
    config = uvicorn.Config(
        application,
        http=edge_protocol(limits or EdgeLimits(), is_leaving),
        lifespan="off",
        log_level="critical",
        access_log=False,
    )
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield application, listening.getsockname()[1]
    finally:
        application.may_end.set()
        server.should_exit = True
        await task
        listening.close()


async def exchange(port: int, *parts: bytes, pause_seconds: float = 0.0) -> bytes:
    """Sends, then reads until the server closes or is silent for half a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_seconds)
        with contextlib.suppress(TimeoutError, ConnectionError):
            while data := await asyncio.wait_for(reader.read(65536), 0.5):
                answer += data
    finally:
        writer.close()
    return answer


def status(answer: bytes) -> int | None:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nhost: a\r\n"
REFUSED = {
    "no host": b"GET /x HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /x HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "two hosts that agree": b"GET /x HTTP/1.1\r\nhost: a\r\nHost: a\r\n\r\n",
    "both lengths": POST + b"content-length: 3\r\n" + CHUNKED + b"0\r\n\r\n",
    "an HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "two lengths": POST + b"content-length: 3\r\ncontent-length: 4\r\n\r\nabc",
    "a length with a sign": POST + b"content-length: +3\r\n\r\nabc",
    "a length twice in one line": POST + b"content-length: 3, 3\r\n\r\nabc",
    "a length in hexadecimal": POST + b"content-length: 0x3\r\n\r\nabc",
    "an underscore": POST + b"content_length: 3\r\n\r\n",
    "chunked is not last": POST + b"transfer-encoding: chunked, gzip\r\n\r\n",
    "chunked within a word": POST + b"transfer-encoding: xchunked\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /x HTTP/1.0\r\nhost: a\r\n" + CHUNKED + b"0\r\n\r\n",
    "a chunk size that is none": POST + CHUNKED + b"xyz\r\nabc\r\n0\r\n\r\n",
    "a blank before the colon": b"GET /x HTTP/1.1\r\nhost : a\r\n\r\n",
    "a folded line": b"GET /x HTTP/1.1\r\nhost: a\r\nx: 1\r\n 2\r\n\r\n",
    "bare line feeds": b"GET /x HTTP/1.1\nhost: a\n\n",
    "a null in a header": b"GET /x HTTP/1.1\r\nhost: a\r\nx: a\x00b\r\n\r\n",
    "a carriage return in a header": b"GET /x HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n",
    "an absolute target": b"GET http://b/x HTTP/1.1\r\nhost: a\r\n\r\n",
    "no path": b"OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
    "another protocol": b"GET /x HTTQ/1.1\r\nhost: a\r\n\r\n",
    "no protocol": b"GET /x\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_two_servers_could_read_differently_is_refused(name: str) -> None:
    """And nothing of it reaches the application as a request of its own."""
    async with served() as (application, port):
        answer = await exchange(port, REFUSED[name] + GOOD.replace(b"/x", b"/second"))
        assert status(answer) in {400, 505, None}, answer
        assert b"200 OK" not in answer
        assert answer.count(b"HTTP/1.1") <= 1
        assert "/second" not in application.paths
        assert status(await exchange(port, GOOD)) == 200


async def test_large_heads_are_refused() -> None:
    limits = EdgeLimits(head_bytes=4096, target_bytes=1024, headers=20)
    async with served(limits) as (application, port):
        long_target = b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\nhost: a\r\n\r\n"
        assert status(await exchange(port, long_target)) == 414
        many = b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: y\r\n" * 30 + b"\r\n"
        assert status(await exchange(port, many)) == 431
        large = b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 5000 + b"\r\n\r\n"
        assert status(await exchange(port, large)) == 431
        assert application.paths == []


@pytest.mark.parametrize(
    "parts",
    [
        [b""],
        [b"GET / HTTP/1.1\r\n", b"x-a: b\r\n", b"x-c: d\r\n", b"x-e: f\r\n"],
        [b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nab"],
    ],
    ids=["nothing", "a header now and then", "half a body"],
)
async def test_a_request_that_never_ends_is_closed(parts: list[bytes]) -> None:
    async with served(EdgeLimits(receive_timeout_seconds=0.2)) as (_, port):
        began = time.monotonic()
        answer = await exchange(port, *parts, pause_seconds=0.08)
        assert status(answer) == 408
        assert time.monotonic() - began < 2


async def test_a_body_that_keeps_coming_is_taken() -> None:
    async with served(EdgeLimits(receive_timeout_seconds=0.2)) as (_, port):
        head = b"POST /y HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\n"
        answer = await exchange(port, head, *[b"a"] * 6, pause_seconds=0.1)
        assert answer.endswith(b"/yaaaaaa\r\n0\r\n\r\n")


async def test_requests_one_after_the_other_on_a_connection() -> None:
    async with served() as (application, port):
        answer = await exchange(port, GOOD, GOOD, b"GET /z HTTP/1.0\r\n\r\n", pause_seconds=0.05)
        assert answer.count(b"200 OK") == 3
        assert application.paths == ["/x", "/x", "/z"]


async def test_no_refusal_is_written_into_an_answer_that_runs() -> None:
    async with served() as (application, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GOOD.replace(b"/x", b"/stream"))
        received = 0
        while received < 300 * 65536:
            received += len(await reader.read(2**20))
        writer.write(b"no HTTP at all\r\n\r\n")
        rest = b""
        with contextlib.suppress(ConnectionError):
            while data := await asyncio.wait_for(reader.read(2**20), 1):
                rest += data
        assert b"400" not in rest
        assert application.paths == ["/stream"]
        writer.close()


async def test_a_client_that_does_not_read_fills_the_writer() -> None:
    """The application is told, and waits as with ASGI's own ``send``."""
    async with served() as (application, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
        writer.write(GOOD.replace(b"/x", b"/stream"))
        await asyncio.sleep(0.5)
        assert application.was_full
        assert application.written < 16 * 2**20
        application.may_end.set()
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received = received[-8:] + await reader.read(2**20)
        assert application.written == 400 * 65536
        writer.close()


async def test_a_process_that_leaves_closes_its_connections() -> None:
    """What is asked from then on is answered; a client that keeps connections moves away."""
    leaving = asyncio.Event()
    async with served(is_leaving=leaving.is_set) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for is_last in (False, True):
            if is_last:
                leaving.set()
            writer.write(GOOD)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert (b"connection: close" in head) is is_last
            if not is_last:
                await reader.readuntil(b"0\r\n\r\n")
        await reader.read()
        assert reader.at_eof()
        writer.close()
