"""Anthropic's Messages through the proxy."""

from typing import Any

import pytest

from retry_proxy.config import ReleaseMode
from retry_proxy.events import AttemptOutcome, RequestOutcome
from tests.fakes.asgi_client import Exchange, post, post_paused
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import MESSAGES, answer_of, proxy_for, request_body, words
from tests.fakes.script import Fault, Script

LENGTH = 400
CUT = Script(Fault.CUT, after=40, pause_after=8)
STALL = {"stall_timeout_seconds": 0.1, "first_byte_timeout_seconds": 0.3}
BREAKING = [Fault.CUT, Fault.STALL, Fault.BAD_JSON, Fault.BAD_SSE, Fault.ERROR_EVENT]


def body(**more: Any) -> dict[str, Any]:
    return request_body(MESSAGES, max_tokens=2 * LENGTH) | more


def kinds(got: Exchange) -> list[str]:
    return [event["type"] for event in got.events()]


async def test_a_healthy_stream_goes_on_event_by_event() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        got = await post(proxy.app, MESSAGES, body())
    assert (got.text(), got.is_done) == (words(40), True)
    assert kinds(got)[:3] == ["message_start", "content_block_start", "ping"]
    assert kinds(got)[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert b"[DONE]" not in got.body
    assert engine.generations[0].body == body(), "nothing is asked for that the API does not have"
    assert got.headers["x-specwatch-verdict"] == "pending"
    assert got.headers["x-specwatch-attempts"] == "1"


async def test_a_whole_message_is_put_together_from_its_events() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        got = await post(proxy.app, MESSAGES, body(stream=False))
    message = got.json()
    assert message["content"] == [{"type": "text", "text": words(40)}]
    assert (message["type"], message["stop_reason"]) == ("message", "end_turn")
    assert message["usage"] == {"input_tokens": 7, "output_tokens": 40}
    assert engine.generations[0].body["stream"] is True


async def test_the_clients_headers_reach_the_engine() -> None:
    headers = [
        ("host", "proxy"),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "a,b"),
        ("x-api-key", "k"),
    ]
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        await post(proxy.app, MESSAGES, body(), headers=headers)
    seen = {name.lower(): value for name, value in engine.generations[0].headers.items()}
    assert {name: seen[name] for name, _ in headers[1:]} == dict(headers[1:])


async def test_count_tokens_passes_through() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        got = await post(proxy.app, MESSAGES + "/count_tokens", b"{}")
    assert got.body == b"echo:{}"
    assert "/v1/messages/count_tokens" in [sent[1] for sent in engine.other_requests]


@pytest.mark.parametrize("fault", BREAKING)
async def test_a_broken_stream_goes_on_from_the_released_text(fault: Fault) -> None:
    script = Script(fault, after=40, pause_after=8)
    async with FakeEngine(is_llama=True) as sick, FakeEngine(LENGTH, is_llama=True) as healthy:
        sick.answer_tokens = LENGTH
        sick.default = script
        async with proxy_for(sick, healthy, **STALL) as proxy:
            got = await post_paused(proxy.app, MESSAGES, body(), sick.resume)
    assert (got.text(), got.is_done) == (words(LENGTH), True)
    for kind in ("message_start", "content_block_start", "content_block_stop", "message_delta"):
        assert kinds(got).count(kind) == 1, kind
    events = list(got.events())
    assert {event["index"] for event in events if "index" in event} == {0}
    end = events[-2]
    assert end["delta"]["stop_reason"] == "end_turn"
    told = healthy.generations[0].completion_tokens + proxy.sink.attempts[0].released_tokens
    assert end["usage"] == {"input_tokens": 7, "output_tokens": told}, "the released ones estimated"
    sent = healthy.generations[0].body
    assert sent["messages"][-1]["role"] == "assistant"
    assert sent["max_tokens"] < 2 * LENGTH
    assert proxy.sink.requests[0].outcome is RequestOutcome.RETRIED_CLEAN


@pytest.mark.parametrize("is_llama", [True, False])
async def test_what_cannot_be_continued_is_an_error_event_and_no_message_stop(
    is_llama: bool,
) -> None:
    """SGLang and vLLM close a last message of the assistant: a second answer would be glued on."""
    more: dict[str, Any] = {"thinking": {"type": "enabled"}} if is_llama else {}
    async with FakeEngine(is_llama=is_llama) as sick, FakeEngine(is_llama=is_llama) as healthy:
        sick.default = Script(Fault.CUT, after=20, pause_after=8)
        async with proxy_for(sick, healthy) as proxy:
            got = await post_paused(proxy.app, MESSAGES, body(**more), sick.resume)
            whole = await post(proxy.app, MESSAGES, body(stream=False, **more))
    assert words(40).startswith(got.text())
    last = list(got.events())[-1]
    assert (last["type"], last["error"]["type"]) == ("error", "api_error")
    assert last["error"]["code"] == "not_continuable"
    assert "message_stop" not in kinds(got)
    assert answer_of(MESSAGES, whole.json()) == words(40), "nothing was released: done again"


async def test_errors_before_the_first_byte_are_anthropics() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        engine.default = Script(Fault.STATUS)
        failed = await post(proxy.app, MESSAGES, body())
        broken = await post(proxy.app, MESSAGES, b"{")
        await engine.stop()
        gone = await post(proxy.app, MESSAGES, body())
        counted = await post(proxy.app, MESSAGES + "/count_tokens", b"{}")
    assert (failed.status, failed.json()["type"]) == (502, "error")
    assert failed.json()["error"]["type"] == "api_error"
    assert failed.headers["x-specwatch-attempts"] == "1"
    assert (broken.status, broken.json()["error"]["type"]) == (400, "invalid_request_error")
    assert (gone.status, gone.json()["error"]["type"]) == (503, "overloaded_error")
    assert (counted.status, counted.json()["error"]["type"]) == (503, "overloaded_error")


async def test_a_verdict_stops_it_and_another_replica_answers() -> None:
    async with FakeEngine(LENGTH) as sick, FakeEngine(LENGTH) as healthy:
        sick.default = Script(Fault.LOW_ACCEPTANCE, word=" garbage")
        async with proxy_for(sick, healthy, release=ReleaseMode.BUFFER) as proxy:
            got = await post(proxy.app, MESSAGES, body())
        await sick.wait_for(open_streams=0)
    assert (got.text(), got.is_done) == (words(LENGTH), True)
    assert got.headers["x-specwatch-attempts"] == "2"
    assert got.headers["x-specwatch-verdict"] == "none"
    assert proxy.sink.attempts[0].outcome is AttemptOutcome.ANOMALY
    assert not sick.aborts, "the route knows no request id: the closed connection is the abort"
