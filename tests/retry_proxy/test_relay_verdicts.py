"""A verdict stops the attempt.

Another replica goes on, or the answer is marked, or a plain error.
"""

from dataclasses import replace
from typing import Any

import pytest

from detectors.verdict import AnomalyKind
from retry_proxy.config import OnExhausted, ReleaseMode
from retry_proxy.events import AttemptOutcome, RequestOutcome, StepsQuality
from tests.fakes.asgi_client import Exchange, post, post_paused
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import ROUTES, answer_of, proxy_for, request_body, words
from tests.fakes.script import Fault, Script

LENGTH = 400
CHAT = ROUTES[1]
LATE = Script(Fault.LOW_ACCEPTANCE, after=40, word=" garbage", pause_after=30)
PAUSED_ODD = Script(Fault.LOW_ACCEPTANCE, pause_after=8)
GARBLED = Script(Fault.LOW_ACCEPTANCE, word=" garbage")
ODD = Script(Fault.LOW_ACCEPTANCE)  # low acceptance, but the right words
LOOP = Script(Fault.HIGH_ACCEPTANCE, word=" loop")


def long_body(route: str, **more: Any) -> dict[str, Any]:
    return request_body(route, max_tokens=LENGTH) | more


def content_events(got: Exchange) -> list[dict[str, Any]]:
    return [event for event in got.events() if event != "[DONE]"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("script", [GARBLED, replace(LATE, pause_after=None), LOOP])
@pytest.mark.parametrize("stream", [True, False])
async def test_buffered_and_whole_answers_never_show_damage(
    route: str, script: Script, stream: bool
) -> None:
    async with FakeEngine(LENGTH) as sick, FakeEngine(LENGTH) as healthy:
        sick.default = script
        async with proxy_for(sick, healthy, release=ReleaseMode.BUFFER) as proxy:
            got = await post(proxy.app, route, long_body(route, stream=stream))
        await sick.wait_for(aborts=1, open_streams=0)
    assert (got.text() if stream else answer_of(route, got.json())) == words(LENGTH)
    assert got.headers["x-specwatch-attempts"] == "2"
    assert sick.aborts == [sick.rids[0]]
    ended = proxy.sink.requests[0]
    assert (ended.outcome, ended.leaked_tokens) == (RequestOutcome.RETRIED_CLEAN, 0)
    assert 0.0 < ended.added_delay_seconds <= ended.duration_seconds
    assert ended.wasted_tokens == proxy.sink.attempts[0].completion_tokens > 100


@pytest.mark.parametrize("route", ROUTES)
async def test_adaptive_holds_what_looks_bad_and_continues_before_the_onset(route: str) -> None:
    async with FakeEngine(LENGTH) as sick, FakeEngine(LENGTH) as healthy:
        sick.default = LATE
        async with proxy_for(sick, healthy) as proxy:
            got = await post_paused(proxy.app, route, long_body(route), sick.resume)
    stopped, delivered = proxy.sink.attempts
    assert stopped.outcome is AttemptOutcome.ANOMALY
    assert stopped.verdict is not None
    assert abs(stopped.verdict.onset_token - 40) <= 3
    leaked = got.text().count(" garbage")
    assert leaked == pytest.approx(stopped.leaked_tokens, abs=2)
    assert leaked <= 15
    assert stopped.released_tokens + delivered.completion_tokens == LENGTH
    assert got.is_done


@pytest.mark.parametrize("route", ROUTES)
async def test_live_leaks_until_the_alarm_and_says_so(route: str) -> None:
    async with FakeEngine(LENGTH) as sick, FakeEngine(LENGTH) as healthy:
        sick.default = replace(GARBLED, word=None, pause_after=60)
        async with proxy_for(sick, healthy, release=ReleaseMode.LIVE) as proxy:
            got = await post_paused(proxy.app, route, long_body(route), sick.resume)
    request = proxy.sink.requests[0]
    assert request.leaked_tokens >= 59
    assert got.text() == words(LENGTH)
    assert request.completion_tokens == LENGTH
    assert got.is_done


async def test_the_continuation_carries_the_released_prefix_and_a_smaller_limit() -> None:
    async with FakeEngine(LENGTH) as sick, FakeEngine(LENGTH) as healthy:
        sick.default = LATE
        async with proxy_for(sick, healthy) as proxy:
            for route in ROUTES:
                await post_paused(proxy.app, route, long_body(route), sick.resume)
                sick.resume.clear()
    for sent, ended in zip(healthy.generations, proxy.sink.attempts[0::2], strict=True):
        kept = ended.released_tokens
        body = sent.body
        if sent.path == "/generate":
            assert body["text"].startswith("Tell me. w0 w1")
            assert body["sampling_params"]["max_new_tokens"] == LENGTH - kept
        elif sent.path == CHAT:
            assert body["messages"][-1]["role"] == "assistant"
            assert body["continue_final_message"] is True
            assert body["max_tokens"] == LENGTH - kept
        else:
            assert body["prompt"][:4] == [1, 2, 3, 1000]
            assert len(body["prompt"]) == 3 + kept
        assert body["cache_salt"]
    assert all("cache_salt" not in sent.body for sent in sick.generations)


async def test_a_continued_stream_looks_like_one_stream() -> None:
    body = long_body(CHAT, stream_options={"include_usage": True})
    async with FakeEngine(2 * LENGTH) as sick, FakeEngine(2 * LENGTH) as healthy:
        sick.default = LATE
        async with proxy_for(sick, healthy) as proxy:
            got = await post_paused(proxy.app, CHAT, body, sick.resume)
    events = content_events(got)
    assert len({event["id"] for event in events}) == 1
    assert len({event["created"] for event in events}) == 1
    choices = [choice for event in events for choice in event["choices"]]
    assert sum("role" in choice["delta"] for choice in choices) == 1
    assert [c["finish_reason"] for c in choices if c["finish_reason"]] == ["length"]
    assert [event["choices"] for event in events].count([]) == 1
    usage = events[-1]["usage"]
    assert usage == {"prompt_tokens": 7, "completion_tokens": LENGTH, "total_tokens": LENGTH + 7}
    assert not any("sglext" in event or "token_ids" in str(event) for event in events)
    assert all(event["usage"] is None for event in events[:-1])


async def test_native_stream_counts_go_on() -> None:
    async with FakeEngine(2 * LENGTH) as sick, FakeEngine(2 * LENGTH) as healthy:
        sick.default = LATE
        async with proxy_for(sick, healthy) as proxy:
            body = long_body("/generate", rid="mine")
            got = await post_paused(proxy.app, "/generate", body, sick.resume)
    metas = [event["meta_info"] for event in content_events(got)]
    counts = [meta["completion_tokens"] for meta in metas]
    assert counts == sorted(counts)
    assert counts[-1] == LENGTH
    assert {meta["id"] for meta in metas} == {"mine"}
    assert {meta["prompt_tokens"] for meta in metas} == {7}
    assert metas[-1]["finish_reason"] == {"type": "length", "length": LENGTH}


@pytest.mark.parametrize(
    "more",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "required"},
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        {"logprobs": True},
        {"regex": "a+"},
    ],
)
async def test_what_cannot_be_continued_ends_with_an_error_after_release_only(
    more: dict[str, Any],
) -> None:
    async with FakeEngine(LENGTH) as sick, FakeEngine(LENGTH) as healthy:
        sick.default = LATE
        async with proxy_for(sick, healthy) as proxy:
            got = await post_paused(proxy.app, CHAT, long_body(CHAT, **more), sick.resume)
        async with proxy_for(sick, healthy, release=ReleaseMode.BUFFER) as buffered:
            whole = await post(buffered.app, CHAT, long_body(CHAT, **more))
    assert got.error is not None
    assert got.error["code"] == "not_continuable"
    assert not got.is_done
    assert proxy.sink.requests[0].retry_refused == "not_continuable"
    assert (whole.text(), whole.is_done) == (words(LENGTH), True)


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("release", list(ReleaseMode))
async def test_the_same_anomaly_on_two_replicas_is_let_through_and_marked(
    route: str, release: ReleaseMode
) -> None:
    async with FakeEngine(LENGTH) as one, FakeEngine(LENGTH) as two:
        one.default = two.default = ODD
        async with proxy_for(one, two, max_attempts=2, release=release) as proxy:
            got = await post(proxy.app, route, long_body(route))
            whole = await post(proxy.app, route, long_body(route, stream=False))
    assert got.text() == words(LENGTH)
    assert b": specwatch verdict=garbled attempts=2\n\ndata: [DONE]\n\n" in got.body
    is_known = release is ReleaseMode.BUFFER
    assert got.headers["x-specwatch-verdict"] == ("garbled" if is_known else "pending")
    assert answer_of(route, whole.json()) == words(LENGTH)
    assert whole.headers["x-specwatch-verdict"] == "garbled"
    outcomes = [attempt.outcome for attempt in proxy.sink.attempts]
    assert outcomes == [AttemptOutcome.ANOMALY, AttemptOutcome.MARKED] * 2
    assert {request.outcome for request in proxy.sink.requests} == {RequestOutcome.MARKED}


async def test_on_exhausted_error_is_a_real_status_before_and_in_band_after_release() -> None:
    options = {"max_attempts": 2, "on_exhausted": OnExhausted.ERROR}
    async with FakeEngine(LENGTH) as one, FakeEngine(LENGTH) as two:
        one.default = two.default = PAUSED_ODD
        async with proxy_for(one, two, **options) as proxy:
            two.resume.set()
            got = await post_paused(proxy.app, CHAT, long_body(CHAT), one.resume)
            whole = await post(proxy.app, CHAT, long_body(CHAT, stream=False))
        await two.wait_for(aborts=2, open_streams=0)
    assert got.error is not None
    assert got.error["code"] == "anomaly_persisted"
    assert not got.is_done
    assert (whole.status, whole.json()["error"]["code"]) == (502, "anomaly_persisted")


async def test_a_single_replica_cannot_confirm_so_the_answer_is_let_through() -> None:
    async with FakeEngine(LENGTH) as one:
        one.default = ODD
        async with proxy_for(one) as proxy:
            got = await post(proxy.app, CHAT, long_body(CHAT))
    assert got.text() == words(LENGTH)
    assert proxy.sink.requests[0].retry_refused == "no_replica"
    assert not one.aborts


async def test_stock_sglang_is_watched_by_the_tokens_of_its_chunks() -> None:
    async with FakeEngine(LENGTH, is_stock=True) as sick, FakeEngine(LENGTH, is_stock=True) as fine:
        sick.default = GARBLED
        async with proxy_for(sick, fine, release=ReleaseMode.BUFFER) as proxy:
            for route in ROUTES:
                got = await post(proxy.app, route, long_body(route))
                assert got.text() == words(LENGTH)
    kinds = [attempt.verdict.kind for attempt in proxy.sink.attempts if attempt.verdict]
    assert kinds == [AnomalyKind.GARBLED] * 3
    assert all("return_token_ids" not in s.body for s in sick.generations if s.path == CHAT)
    delivered = [a for a in proxy.sink.attempts if a.outcome is AttemptOutcome.COMPLETED]
    assert all(attempt.steps == 133 for attempt in delivered), "the engine's own final numbers"


@pytest.mark.parametrize(
    ("is_stock", "quality"), [(False, StepsQuality.EXACT), (True, StepsQuality.UPPER_BOUND)]
)
async def test_a_finding_comes_with_the_steps_around_it(
    is_stock: bool, quality: StepsQuality
) -> None:
    """As far as the engine tells them; a healthy attempt carries no copy of them."""
    async with (
        FakeEngine(LENGTH, is_stock=is_stock) as sick,
        FakeEngine(LENGTH, is_stock=is_stock) as fine,
    ):
        sick.default = GARBLED
        async with proxy_for(sick, fine, release=ReleaseMode.BUFFER) as proxy:
            await post(proxy.app, ROUTES[0], long_body(ROUTES[0]))
    stopped, healthy = proxy.sink.attempts
    assert stopped.steps_quality is quality
    assert len(stopped.recent_steps) == stopped.steps
    assert sum(stopped.recent_steps) == stopped.accepted
    assert bool(stopped.accepted_per_step) is not is_stock
    assert healthy.recent_steps == b""


async def test_evidence_is_captured_only_when_switched_on() -> None:
    async with FakeEngine(LENGTH) as sick, FakeEngine(LENGTH) as healthy:
        sick.default = LATE
        async with proxy_for(sick, healthy, capture_text=True) as proxy:
            sick.resume.set()
            await post(proxy.app, CHAT, long_body(CHAT))
        async with proxy_for(sick, healthy) as silent:
            await post(silent.app, CHAT, long_body(CHAT))
    sample = proxy.sink.attempts[0].text_sample
    assert sample is not None
    assert " garbage" in sample
    assert len(sample) <= 240
    assert all(attempt.text_sample is None for attempt in silent.sink.attempts)


async def test_healthy_native_chunks_go_on_as_the_bytes_they_came_in() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        got = await post(proxy.app, "/generate", request_body("/generate"))
    assert proxy.sink.requests[0].outcome is RequestOutcome.CLEAN
    assert content_events(got)[0]["meta_info"]["id"] == engine.rids[0]
