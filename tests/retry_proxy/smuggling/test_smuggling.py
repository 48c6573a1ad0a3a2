"""The proxy and whatever stands behind it never disagree about where a request ends.

A real proxy on a socket, a replica behind it that keeps the raw bytes, and a strict reader that
shares no code with them as the judge of both.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from retry_proxy.edge import EdgeLimits, edge_protocol
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import proxy_for
from tests.fakes.raw_echo import RawEcho, raw_echo
from tests.fakes.served import served
from tests.fakes.strict_http import Request, read_requests
from tests.retry_proxy.smuggling.payloads import PAYLOADS

SILENCE_SECONDS, PATIENCE_SECONDS = 0.1, 20.0
# Longer than a busy machine lets a whole request wait: 408 is for those that never come to an end.
LIMITS = EdgeLimits(receive_timeout_seconds=3.0)
WATCHED = "/v1/completions"
SET_ANEW = {"host", "content-length", "transfer-encoding"}


def cut(payload: bytes, manner: str) -> list[bytes]:
    """The pieces in which a payload is sent."""
    if manner == "at once":
        return [payload]
    head, end, rest = payload.partition(b"\r\n\r\n")
    middle = len(rest) // 2
    return [piece for piece in (head + end, rest[:middle], rest[middle:]) if piece]


async def talk(address: str, pieces: Sequence[bytes]) -> tuple[bytes, bool]:
    """What came back, and whether the proxy closed the connection.

    Waits for as many answers as a strict reader sees requests, or for the end; then a while longer.
    """
    reading = read_requests(b"".join(pieces))
    is_whole = reading.error is None and not reading.rest
    host, _, port = address.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = b""
    try:
        for number, piece in enumerate(pieces):
            if number > 0:
                await asyncio.sleep(0.01)
            writer.write(piece)
            await writer.drain()
        while True:
            is_answered = is_whole and len(statuses(answer)) >= len(reading.requests)
            seconds = SILENCE_SECONDS if is_answered else PATIENCE_SECONDS
            if not (data := await asyncio.wait_for(reader.read(2**16), seconds)):
                return answer, True
            answer += data
    except TimeoutError:
        return answer, False
    except ConnectionError:
        return answer, True
    finally:
        writer.close()


@dataclass
class Behind:
    """A proxy's address, and what the replica behind it was sent."""

    address: str
    echo: RawEcho


@asynccontextmanager
async def proxied_echo() -> AsyncIterator[Behind]:
    async with raw_echo() as echo:
        replica = FakeEngine()  # not started: only its address is used
        replica.address = echo.address
        async with (
            proxy_for(replica) as proxy,
            served(proxy, http=edge_protocol(LIMITS), ws="none") as address,
        ):
            yield Behind(address, echo)


def core(request: Request) -> tuple[str, str, bytes]:
    """What both sides must agree on."""
    return request.method, request.target, request.body


def statuses(answer: bytes) -> list[int]:
    """Of the final answers, in order."""
    found = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]
    return [status for status in found if status >= 200]


def check(payload: bytes, answer: bytes, is_closed: bool, echo: RawEcho) -> None:
    """Refused, or understood as the strict reader understands it; never anything between."""
    wanted = read_requests(payload)
    arrived = [core(request) for request in echo.requests()]
    told = statuses(answer)
    refusals = [status for status in told if status >= 400]
    assert all(status < 500 or status in {501, 505} for status in refusals), answer
    assert arrived == [core(request) for request in wanted.requests][: len(arrived)]
    for ours, theirs in zip(echo.requests(), wanted.requests, strict=False):
        added = [pair for pair in ours.headers if pair not in theirs.headers]
        assert {name for name, _ in added} <= SET_ANEW, "a header that was not in the head"
    assert told.count(200) <= len(arrived)
    assert len(refusals) <= 1, "two refusals on one connection"
    if refusals:
        assert is_closed, "refused, but the rest of the connection would be read"
        assert told[-1] == refusals[0], "answered after a refusal"
    if len(arrived) < len(wanted.requests) or wanted.error is not None:
        assert is_closed, "neither understood nor refused"
    for reading in echo.readings():
        assert reading.error is None, f"the replica was sent what is no request: {reading.error}"
        # A body that broke off: the request stays unfinished for ever, its connection is closed.
        assert not reading.rest or reading.rest.startswith(b"POST /x HTTP/1.1\r\n")


async def failures(names: Iterable[str], run: Callable[[str], Awaitable[None]]) -> dict[str, str]:
    """What went wrong by payload; they wait more than they work, so many run at once."""
    few = asyncio.Semaphore(24)

    async def one(name: str) -> tuple[str, str] | None:
        async with few:
            try:
                await run(name)
            except AssertionError as error:
                return name, str(error)
        return None

    return dict(filter(None, await asyncio.gather(*map(one, names))))


@pytest.mark.parametrize("manner", ["at once", "in pieces"])
async def test_no_disagreement(manner: str) -> None:
    """And whoever comes next gets an own answer, over whatever connection is left behind."""

    async def run(name: str) -> None:
        async with proxied_echo() as behind:
            answer, is_closed = await talk(behind.address, cut(PAYLOADS[name], manner))
            check(PAYLOADS[name], answer, is_closed, behind.echo)
            for number in range(2):
                target = b"/next%d" % number
                request = b"GET %b HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" % target
                after, _ = await talk(behind.address, [request])
                assert statuses(after) == [200]
                assert b'"target": "%b"' % target in after

    assert await failures(PAYLOADS, run) == {}


async def test_no_disagreement_where_the_body_is_rewritten() -> None:
    """A watched route reads the whole body first; what is no JSON ends there."""

    async def run(name: str) -> None:
        payload = PAYLOADS[name].replace(b" /x ", b" %b " % WATCHED.encode(), 1)
        async with proxied_echo() as behind:
            answer, is_closed = await talk(behind.address, [payload])
            wanted = read_requests(payload)
            others = [core(one) for one in wanted.requests if one.target != WATCHED]
            arrived = [core(one) for one in behind.echo.requests() if one.target != WATCHED]
            assert arrived == others[: len(arrived)]
            if wanted.error is not None or len(arrived) < len(others):
                assert is_closed
            assert all(not one.rest and one.error is None for one in behind.echo.readings())
            assert all(status < 500 or status in {501, 505} for status in statuses(answer))

    assert await failures(PAYLOADS, run) == {}


REFUSED = (
    "CL.TE",
    "TE.CL",
    "TE twice, chunked last",
    "TE identity, chunked",
    "TE with an empty element",
    "chunk extension of 600 KB",
    "a trailer of 100 KB",
    "a fragment",
    "a host with a path",
    "a host with a user",
    "two hosts in a line",
)


async def test_what_was_once_taken_is_refused() -> None:
    """llhttp takes these; each was found here, or is the textbook's."""

    async def run(name: str) -> None:
        async with proxied_echo() as behind:
            answer, is_closed = await talk(behind.address, [PAYLOADS[name]])
            assert is_closed
            assert statuses(answer)[-1] in {400, 431}
            assert behind.echo.requests() == []

    assert await failures(REFUSED, run) == {}


async def test_an_offer_to_upgrade_keeps_its_body_and_its_connection() -> None:
    """Java's HttpClient offers h2c with its first request; its body used to be lost, and the
    connection was deaf afterwards."""
    offer = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n"
    first = b"POST /first HTTP/1.1\r\nhost: a\r\n" + offer + b"content-length: 6\r\n\r\n"
    second = b"POST /second HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
    async with proxied_echo() as behind:
        pieces = [first + b"abc", b"def", second + b"3\r\nxyz\r\n0\r\n\r\n"]
        answer, _ = await talk(behind.address, pieces)
        assert statuses(answer) == [200, 200]
        assert [core(one) for one in behind.echo.requests()] == [
            ("POST", "/first", b"abcdef"),
            ("POST", "/second", b"xyz"),
        ]


def test_the_payloads_are_many_and_the_judge_tells_them_apart() -> None:
    """Were the strict reader to take or refuse everything, nothing would be tested."""
    readings = {name: read_requests(payload) for name, payload in PAYLOADS.items()}
    refused = {name for name, reading in readings.items() if not reading.requests}
    whole = {name for name, one in readings.items() if not one.rest and not one.error}
    assert len(PAYLOADS) >= 100
    assert len(refused) >= 60
    assert len(whole) >= 20
    assert {"CL.TE", "TE.CL", "TE folded", "two hosts", "HTTP/0.9"} <= refused
    assert {"two requests", "chunk extension", "a trailer", "CL is all of the second"} <= whole
    (only,) = readings["CL is all of the second"].requests
    assert only.body.startswith(b"GET /second")
