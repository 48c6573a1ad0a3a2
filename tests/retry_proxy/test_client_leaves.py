"""A client that leaves costs nothing further.

The upstream is closed, the engine told, nothing stays open.
"""

import asyncio

import pytest

from retry_proxy.config import ReleaseMode
from retry_proxy.events import AttemptOutcome, RequestOutcome
from tests.fakes.asgi_client import start
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import ROUTES, proxy_for, request_body
from tests.fakes.script import Fault, Script

SILENT = Script(Fault.STALL, after=10)


@pytest.mark.parametrize("route", ROUTES)
async def test_leaving_in_the_middle_closes_and_aborts(route: str) -> None:
    async with FakeEngine() as engine:
        engine.default = SILENT
        async with proxy_for(engine) as proxy:
            exchange = start(proxy.app, "POST", route, request_body(route))
            await exchange.wait_for(b" w5")
            await exchange.leave()
            await engine.wait_for(aborts=1, open_streams=0)
    assert engine.aborts == engine.rids
    assert proxy.sink.attempts[0].outcome is AttemptOutcome.CLIENT_GONE
    assert proxy.sink.requests[0].outcome is RequestOutcome.CLIENT_GONE


@pytest.mark.parametrize("script", [SILENT, Script(Fault.STALL_HEAD)])
@pytest.mark.parametrize("stream", [True, False])
async def test_leaving_before_the_first_byte_closes_and_aborts(
    stream: bool, script: Script
) -> None:
    async with FakeEngine() as engine:
        engine.default = script
        async with proxy_for(engine, release=ReleaseMode.BUFFER) as proxy:
            body = request_body("/generate", stream=stream)
            exchange = start(proxy.app, "POST", "/generate", body)
            await engine.wait_for(open_streams=1)
            await exchange.leave()
            await engine.wait_for(aborts=1, open_streams=0)
    assert exchange.status is None
    assert engine.aborts == engine.rids


async def test_a_hundred_clients_leaving_leave_nothing_behind() -> None:
    async with FakeEngine() as one, FakeEngine() as two:
        one.default = two.default = SILENT
        async with proxy_for(one, two) as proxy:
            body = request_body(ROUTES[1])
            exchanges = [start(proxy.app, "POST", ROUTES[1], body) for _ in range(100)]
            await asyncio.gather(*(exchange.wait_for(b" w5") for exchange in exchanges))
            await asyncio.gather(*(exchange.leave() for exchange in exchanges))
            await one.wait_for(aborts=50, open_streams=0)
            await two.wait_for(aborts=50, open_streams=0)
    assert sorted(one.aborts + two.aborts) == sorted(one.rids + two.rids)


async def test_leaving_while_the_body_is_sent_dispatches_nothing() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        exchange = start(proxy.app, "POST", "/generate", [b'{"text":', b'"x"}'])
        exchange._pending = [exchange._pending[0]]
        await exchange.leave()
    assert not engine.generations
    assert not proxy.sink.events


async def test_a_finished_request_sends_no_abort() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        for _ in range(3):
            body = request_body("/generate")
            await (await start(proxy.app, "POST", "/generate", body).finish()).leave()
        await engine.wait_for(open_streams=0)
    assert not engine.aborts
