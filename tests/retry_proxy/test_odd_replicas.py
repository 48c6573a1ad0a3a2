"""Replicas whose HTTP itself is broken, hung or not there yet."""

import asyncio
import time

import pytest

from retry_proxy.errors import ConnectFailed
from retry_proxy.events import AttemptOutcome, ReplicaState
from tests.fakes.asgi_client import post, start
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import ROUTES, proxy_for, request_body, words
from tests.fakes.raw_server import NOT_FOUND, raw_server

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n'
CHUNK = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)


@pytest.mark.parametrize(
    "broken",
    [
        HEAD + CHUNK + b"this is no chunk size\r\n",
        HEAD + CHUNK,
        HEAD + b"-5\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n" + EVENT,
        b"",
    ],
)
async def test_broken_http_is_a_failed_attempt_like_any_other(broken: bytes) -> None:
    def answer(request: str) -> bytes:
        return NOT_FOUND if request.startswith("GET") else broken

    async with raw_server(answer) as sick, FakeEngine() as healthy, FakeEngine() as unused:
        unused.address = sick.address
        async with proxy_for(unused, healthy) as proxy:
            got = await post(proxy.app, ROUTES[1], request_body(ROUTES[1], stream=False))
    assert (got.status, got.json()["choices"][0]["message"]["content"]) == (200, words(40))
    assert [a.outcome for a in proxy.sink.attempts][-1] is AttemptOutcome.COMPLETED


async def test_a_pass_through_that_breaks_is_cut_short_for_the_client_too() -> None:
    def answer(request: str) -> bytes:
        return HEAD + CHUNK if request == "GET /thing" else NOT_FOUND

    async with raw_server(answer) as replica, FakeEngine() as unused:
        unused.address = replica.address
        async with proxy_for(unused) as proxy:
            got = await start(proxy.app, "GET", "/thing").finish()
    assert (got.body, got.is_ended) == (EVENT, False)


async def test_a_hung_replica_holds_up_each_request_once() -> None:
    """Requests once queued for the probe of a replica that never answered, each for a timeout."""
    async with raw_server(lambda _: None) as hung, FakeEngine() as healthy, FakeEngine() as unused:
        unused.address = hung.address
        async with proxy_for(unused, healthy, probe_timeout_seconds=0.1) as proxy:
            started = time.monotonic()
            body = request_body("/generate")
            answers = await asyncio.gather(*(post(proxy.app, "/generate", body) for _ in range(20)))
            took = time.monotonic() - started
    assert all(got.text() == words(40) for got in answers)
    assert hung.count("/version") == 1
    assert took < 1


async def test_a_replica_that_still_loads_is_asked_again_what_it_is() -> None:
    """llama.cpp answers 503 to everything while it loads, and was taken for an unknown engine."""
    async with FakeEngine() as engine:
        engine.is_loading = True
        async with proxy_for(engine, probe_interval_seconds=0.01) as proxy:
            with pytest.raises(ConnectFailed):
                await proxy.fleet.adapter(proxy.fleet._replicas[0])
            await proxy.sink.wait_for_changes(1)
            assert proxy.fleet.snapshot()[0].state is ReplicaState.UNREACHABLE
            engine.is_loading = False
            await proxy.sink.wait_for_changes(2)
            assert proxy.fleet.snapshot()[0].engine == "sglang"


async def test_a_client_that_leaves_a_long_request_closes_the_upstream() -> None:
    """A body that comes in pieces: the client's leaving was not noticed afterwards."""
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        exchange = start(proxy.app, "POST", "/v1/embeddings", [b"a", b"b"])
        await engine.wait_for(open_streams=1)
        await exchange.leave()
        await engine.wait_for(open_streams=0)


async def test_header_values_beyond_latin_1_go_through() -> None:
    value = "naïve → ok"

    def answer(request: str) -> bytes:
        head = f"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-note: {value}\r\n\r\nok"
        return head.encode() if request == "GET /thing" else NOT_FOUND

    async with raw_server(answer) as replica, FakeEngine() as unused:
        unused.address = replica.address
        async with proxy_for(unused) as proxy:
            got = await start(proxy.app, "GET", "/thing").finish()
    assert got.status == 200
    assert got.headers["x-note"].encode("latin-1").decode() == value
