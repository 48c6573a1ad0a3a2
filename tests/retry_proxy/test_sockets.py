"""The connections to replicas, against servers that answer with bytes as a test wrote them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from retry_proxy.errors import ConnectFailed, StreamCut, StreamStalled
from retry_proxy.stream.exchange import Exchange
from retry_proxy.stream.sockets import SocketUpstream, request_head, split_url

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """Where it listens, and what it was sent on each connection."""

    address: str = ""
    requests: list[list[bytes]] = field(default_factory=list)


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[Server]:
    """``answer`` is asked for every request, also the later ones of a connection."""
    seen = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        requests: list[bytes] = []
        seen.requests.append(requests)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                requests.append(head)
                await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = listening.sockets[0].getsockname()[:2]
    seen.address = f"http://{host}:{port}"
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        listening.close()
        await listening.wait_closed()


@asynccontextmanager
async def upstream() -> AsyncIterator[SocketUpstream]:
    opened = SocketUpstream(1.0)
    try:
        yield opened
    finally:
        await opened.close()


async def ask(opened: SocketUpstream, url: str, method: str = "GET") -> Exchange:
    return await opened.open(method, url, headers=[], body=None, timeout_seconds=2.0)


def says(*parts: bytes, pause_seconds: float = 0.0) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_seconds)

    return answer


def says_and_closes(*parts: bytes) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
        await writer.drain()
        writer.close()

    return answer


async def collected(exchange: Exchange, **limits: float) -> list[bytes]:
    found: list[bytes] = []

    def take(data: bytes) -> bool:
        found.append(data)
        return True

    await exchange.feed(take, limits.get("first", 2.0), limits.get("stall", 2.0))
    return found


async def test_each_arrival_is_handed_over_and_the_connection_used_again() -> None:
    parts = [CHUNKED, b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n"]
    async with server(says(*parts, pause_seconds=0.02)) as one, upstream() as opened:
        for _ in range(3):
            exchange = await ask(opened, one.address)
            assert await collected(exchange) == [b"abc", b"de"]
            exchange.close()  # it was read to its end: the connection stays
    assert [len(requests) for requests in one.requests] == [3]


async def test_a_taker_that_has_enough_gets_no_more_and_can_come_back() -> None:
    parts = [CHUNKED, b"1\r\na\r\n", b"1\r\nb\r\n1\r\nc\r\n", b"0\r\n\r\n"]
    async with server(says(*parts, pause_seconds=0.02)) as one, upstream() as opened:
        exchange = await ask(opened, one.address)
        first: list[bytes] = []

        def take(data: bytes) -> bool:
            first.append(data)
            return len(first) < 2

        await exchange.feed(take, 1.0, 1.0)
        assert first == [b"a", b"b"]
        assert b"".join(await collected(exchange)) == b"c"


async def test_what_a_taker_raises_ends_the_feed_and_the_connection() -> None:
    async with server(says(CHUNKED, b"1\r\na\r\n")) as one, upstream() as opened:
        exchange = await ask(opened, one.address)

        def take(_: bytes) -> bool:
            raise LookupError("no")

        with pytest.raises(LookupError):
            await exchange.feed(take, 1.0, 1.0)
        await ask(opened, one.address)
    assert len(one.requests) == 2


@pytest.mark.parametrize(
    "parts",
    [
        [CHUNKED, b"5\r\nab"],
        [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"],
        [CHUNKED, b"zz\r\nab\r\n"],
    ],
    ids=["within a chunk", "short of its length", "not HTTP"],
)
async def test_a_broken_body_is_a_cut(parts: list[bytes]) -> None:
    async with server(says_and_closes(*parts)) as one, upstream() as opened:
        exchange = await ask(opened, one.address)
        with pytest.raises(StreamCut):
            await collected(exchange)


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200", b"garbage\r\n\r\n"])
async def test_no_whole_head_is_a_cut(head: bytes) -> None:
    async with server(says_and_closes(head)) as one, upstream() as opened:
        with pytest.raises(StreamCut):
            await ask(opened, one.address)


async def test_a_head_without_an_end_is_refused() -> None:
    line = b"x-filler: " + b"a" * 1000 + b"\r\n"
    async with server(says(b"HTTP/1.1 200 OK\r\n", *[line] * 100)) as one, upstream() as opened:
        with pytest.raises(StreamCut):
            await ask(opened, one.address)


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async with server(says_and_closes(b"HTTP/1.1 200 OK\r\n\r\nabc")) as one, upstream() as opened:
        assert await (await ask(opened, one.address)).read(100) == b"abc"


async def test_an_answer_to_head_has_no_body_and_ends_the_connection() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
    async with server(says(head)) as one, upstream() as opened:
        for _ in range(2):
            exchange = await ask(opened, one.address, "HEAD")
            assert exchange.status == 200
            assert await exchange.read(100) == b""
    assert len(one.requests) == 2


async def test_interim_answers_are_passed_over() -> None:
    parts = [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n", EMPTY]
    async with server(says(*parts, pause_seconds=0.02)) as one, upstream() as opened:
        assert (await ask(opened, one.address)).status == 200


async def test_bytes_that_nobody_asked_for_close_an_idle_connection() -> None:
    answer = says(EMPTY, b"HTTP/1.1 200 OK\r\n", pause_seconds=0.02)
    async with server(answer) as one, upstream() as opened:
        assert (await ask(opened, one.address)).status == 200
        await asyncio.sleep(0.1)
        assert (await ask(opened, one.address)).status == 200
    assert len(one.requests) == 2


async def test_a_connection_that_was_closed_while_idle_is_replaced() -> None:
    """The replica closes it as the next request is on its way."""
    count = 0

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        if count == 2:
            writer.close()  # without a word
        else:
            writer.write(EMPTY)

    async with server(answer) as one, upstream() as opened:
        for _ in range(2):
            assert (await ask(opened, one.address)).status == 200
    assert [len(requests) for requests in one.requests] == [2, 1]


async def test_silence_is_a_stall_and_closes_the_connection() -> None:
    async with server(says(CHUNKED, b"1\r\na\r\n")) as one, upstream() as opened:
        exchange = await ask(opened, one.address)
        with pytest.raises(StreamStalled):
            await collected(exchange, first=1.0, stall=0.1)
    async with server(says(CHUNKED)) as one, upstream() as opened:
        exchange = await ask(opened, one.address)
        with pytest.raises(StreamStalled):
            await collected(exchange, first=0.1, stall=5.0)
        with pytest.raises(StreamStalled):
            await opened.open("GET", one.address, headers=[], body=None, timeout_seconds=0.0)


async def test_bytes_put_the_stall_off() -> None:
    parts = [CHUNKED, *[b"1\r\na\r\n"] * 10, b"0\r\n\r\n"]
    async with server(says(*parts, pause_seconds=0.05)) as one, upstream() as opened:
        exchange = await ask(opened, one.address)
        assert len(await collected(exchange, first=0.3, stall=0.3)) == 10


async def test_a_body_that_nobody_takes_stops_the_replica() -> None:
    """Memory is bounded: the socket is not read."""
    sent = 0

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(CHUNKED)
        for _number in range(400):
            writer.write(b"10000\r\n" + b"a" * 65536 + b"\r\n")
            await writer.drain()
            sent += 65536
        writer.write(b"0\r\n\r\n")

    async with server(answer) as one, upstream() as opened:
        exchange = await ask(opened, one.address)
        await asyncio.sleep(0.5)
        assert exchange._waiting_bytes < 2**20
        assert sent < 16 * 2**20
        assert sum(map(len, await collected(exchange))) == 400 * 65536


async def test_nobody_listening_is_told_as_such() -> None:
    async with upstream() as opened:
        with pytest.raises(ConnectFailed):
            await ask(opened, "http://127.0.0.1:1/")


async def test_a_request_given_up_closes_its_socket() -> None:
    async def never(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read(1)

    async with server(never) as one, upstream() as opened:
        task = asyncio.create_task(ask(opened, one.address))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)
        assert not opened._open


async def test_a_body_in_pieces_goes_out_in_chunks_or_as_long_as_told() -> None:
    bodies: list[bytes] = []
    framed = b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        bodies.append(await reader.readexactly(len(framed) if not bodies else 4))
        writer.write(EMPTY)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b""
        yield b"cd"

    async with server(answer) as one, upstream() as opened:
        for headers in ([], [("content-length", "4")]):
            exchange = await opened.open(
                "POST", one.address, headers=headers, body=pieces(), timeout_seconds=1.0
            )
            assert exchange.status == 200
    assert bodies == [framed, b"abcd"]


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        ("http://a:1/x?y=1", "a:1", "/x?y=1"),
        ("http://a", "a", "/"),
        ("https://a:443/", "a", "/"),
        ("http://[::1]:8000/v1/%2e%2e/x", "[::1]:8000", "/v1/%2e%2e/x"),
    ],
)
def test_urls_go_out_as_they_are(url: str, host: str, target: str) -> None:
    assert split_url(url)[1:] == (host, target)


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\rb"])
def test_a_header_cannot_begin_another_one(value: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        request_head("GET", "/", "a", [("x", value)], None, is_chunked=False)
