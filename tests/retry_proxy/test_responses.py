"""OpenAI's Responses through the proxy."""

from typing import Any

import pytest

from retry_proxy.config import ReleaseMode
from tests.fakes.asgi_client import Exchange, post, post_paused
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import RESPONSES, answer_of, proxy_for, request_body, words
from tests.fakes.script import Fault, Script


def body(**more: Any) -> dict[str, Any]:
    return request_body(RESPONSES, max_tokens=500) | more


def kinds(got: Exchange) -> list[str]:
    return [event["type"] for event in got.events()]


async def test_a_healthy_stream_goes_on_as_the_bytes_it_came_in() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        got = await post(proxy.app, RESPONSES, body())
    assert (got.text(), got.is_done) == (words(40), True)
    numbers = [event["sequence_number"] for event in got.events()]
    assert numbers == list(range(len(numbers)))
    assert kinds(got)[-1] == "response.completed"
    assert b"[DONE]" not in got.body
    assert engine.generations[0].body == body()


async def test_a_whole_response_is_the_one_of_its_last_event() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        got = await post(proxy.app, RESPONSES, body(stream=False))
    assert answer_of(RESPONSES, got.json()) == words(40)
    assert (got.json()["object"], got.json()["status"]) == ("response", "completed")


async def test_a_token_limit_is_an_incomplete_response() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        got = await post(proxy.app, RESPONSES, body(max_output_tokens=10))
    assert (got.text(), kinds(got)[-1]) == (words(10), "response.incomplete")


async def test_after_release_a_failure_is_response_failed() -> None:
    async with FakeEngine() as sick, FakeEngine() as healthy:
        sick.default = Script(Fault.CUT, after=20, pause_after=8)
        async with proxy_for(sick, healthy) as proxy:
            got = await post_paused(proxy.app, RESPONSES, body(), sick.resume)
    last = list(got.events())[-1]
    assert last["type"] == "response.failed"
    assert last["response"]["status"] == "failed"
    assert last["response"]["error"]["code"] == "not_continuable"
    numbers = [event["sequence_number"] for event in got.events()]
    assert numbers == list(range(len(numbers)))
    assert "response.completed" not in kinds(got)
    assert not healthy.generations


@pytest.mark.parametrize("stream", [True, False])
async def test_a_verdict_before_release_is_done_again(stream: bool) -> None:
    async with FakeEngine(400) as sick, FakeEngine(400) as healthy:
        sick.default = Script(Fault.LOW_ACCEPTANCE, word=" garbage")
        async with proxy_for(sick, healthy, release=ReleaseMode.BUFFER) as proxy:
            got = await post(proxy.app, RESPONSES, body(stream=stream))
    text = got.text() if stream else answer_of(RESPONSES, got.json())
    assert text == words(400)
    assert got.headers["x-specwatch-attempts"] == "2"


@pytest.mark.parametrize(
    "more",
    [{"previous_response_id": "resp_1"}, {"background": True}, {"conversation": "conv_1"}],
)
async def test_what_hangs_on_one_replicas_memory_passes_through_unwatched(
    more: dict[str, Any],
) -> None:
    async with FakeEngine() as engine, FakeEngine() as other, proxy_for(engine, other) as proxy:
        engine.default = Script(Fault.STATUS)
        got = await post(proxy.app, RESPONSES, body(**more))
    assert got.status == 500, "the engine's own answer: nobody else can do it again"
    assert got.headers["x-specwatch-verdict"] == "unwatched"
    assert engine.generations[0].body == body(**more)
    assert not other.generations
