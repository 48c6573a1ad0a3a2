"""The proxy behind its real server: what ASGI alone cannot show."""

import aiohttp

from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import proxy_for, request_body
from tests.fakes.script import Fault, Script
from tests.fakes.served import served

CHAT = "/v1/chat/completions"


async def test_stream_whole_and_pass_through() -> None:
    async with (
        FakeEngine() as engine,
        proxy_for(engine) as proxy,
        served(proxy) as address,
        aiohttp.ClientSession() as session,
    ):
        async with session.post(address + CHAT, json=request_body(CHAT)) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["x-accel-buffering"] == "no"
            assert (await answer.read()).endswith(b"data: [DONE]\n\n")
        whole = request_body(CHAT, stream=False)
        async with session.post(address + CHAT, json=whole) as answer:
            assert (await answer.json())["usage"]["completion_tokens"] == 40
        async with session.get(address + "/get_thing?q=1") as answer:
            assert (answer.status, await answer.read()) == (207, b"echo:")


async def test_a_socket_that_closes_closes_the_upstream() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy, served(proxy) as address:
        engine.default = Script(Fault.STALL, after=10)
        async with aiohttp.ClientSession() as session:
            answer = await session.post(address + CHAT, json=request_body(CHAT))
            await answer.content.readany()
            answer.close()
        await engine.wait_for(aborts=1, open_streams=0)
    assert engine.aborts == engine.rids


async def test_answers_cut_by_the_end_of_the_grace_time_are_aborted() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        engine.default = Script(Fault.STALL, after=10)
        async with aiohttp.ClientSession() as session:
            async with served(proxy, lifespan="on", timeout_graceful_shutdown=0) as address:
                answer = await session.post(address + CHAT, json=request_body(CHAT))
                await answer.content.readany()
            assert engine.aborts == engine.rids
            assert engine.open_streams == 0
