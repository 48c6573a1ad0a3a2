"""Whatever an attempt does wrong, the client gets the whole answer or a plain error."""

import pytest

from retry_proxy.config import OnExhausted, ReleaseMode
from retry_proxy.events import AttemptOutcome, ReplicaState, RequestOutcome
from tests.fakes.asgi_client import post, post_paused
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import (
    ALL_ROUTES,
    ROUTES,
    TYPED_ROUTES,
    answer_of,
    proxy_for,
    request_body,
    words,
)
from tests.fakes.script import Fault, Script

BREAKING = [
    Fault.CUT,
    Fault.STALL,
    Fault.STALL_HEAD,
    Fault.STATUS,
    Fault.BAD_JSON,
    Fault.BAD_SSE,
    Fault.ERROR_EVENT,
    Fault.ENGINE_ABORT,
    Fault.NO_FINISH,
]
STALL = {"stall_timeout_seconds": 0.1, "first_byte_timeout_seconds": 0.3}


@pytest.mark.parametrize("route", ALL_ROUTES)
@pytest.mark.parametrize("after", [0, 10])
@pytest.mark.parametrize("fault", BREAKING)
async def test_a_broken_stream_is_done_again(fault: Fault, after: int, route: str) -> None:
    async with FakeEngine() as sick, FakeEngine() as healthy:
        sick.default = Script(fault, after=after)
        # what the typed routes have released is not continued here
        release = ReleaseMode.BUFFER if route in TYPED_ROUTES else ReleaseMode.ADAPTIVE
        async with proxy_for(sick, healthy, release=release, **STALL) as proxy:
            got = await post(proxy.app, route, request_body(route, max_tokens=60))
    assert (got.status, got.text(), got.is_done) == (200, words(40), True)
    assert list(got.events()).count("[DONE]") == (1 if route in ROUTES else 0)
    first, second = proxy.sink.attempts
    assert (first.outcome, second.outcome) == (
        AttemptOutcome.UPSTREAM_ERROR,
        AttemptOutcome.COMPLETED,
    )
    assert proxy.sink.requests[0].outcome is RequestOutcome.RETRIED_CLEAN
    assert (first.rid[:32], first.rid[32:], second.rid[32:]) == (second.rid[:32], "01", "02")


@pytest.mark.parametrize("route", ALL_ROUTES)
@pytest.mark.parametrize("fault", BREAKING)
async def test_a_non_streaming_request_is_watched_too(fault: Fault, route: str) -> None:
    async with FakeEngine() as sick, FakeEngine() as healthy:
        sick.default = Script(fault, after=10)
        async with proxy_for(sick, healthy, **STALL) as proxy:
            got = await post(proxy.app, route, request_body(route, stream=False, max_tokens=60))
    assert got.status == 200
    assert answer_of(route, got.json()) == words(40)
    assert got.headers["x-specwatch-attempts"] == "2"
    assert got.headers["x-specwatch-verdict"] == "none"


@pytest.mark.parametrize("route", ROUTES)
async def test_a_stream_cut_after_its_finish_reason_is_whole(route: str) -> None:
    async with FakeEngine() as engine:
        engine.default = Script(Fault.CUT_AFTER_FINISH)
        async with proxy_for(engine) as proxy:
            got = await post(proxy.app, route, request_body(route, max_tokens=60))
    assert (got.text(), got.is_done) == (words(40), True)
    assert len(proxy.sink.attempts) == 1


@pytest.mark.parametrize("route", ROUTES)
async def test_a_stream_cut_at_its_token_limit_is_finished_without_an_engine(route: str) -> None:
    async with FakeEngine() as sick, FakeEngine() as other:
        sick.default = Script(Fault.NO_FINISH, pause_after=7)
        async with proxy_for(sick, other) as proxy:
            body = request_body(route, max_tokens=12)
            got = await post_paused(proxy.app, route, body, sick.resume)
    assert (got.text(), got.is_done) == (words(12), True)
    assert not other.generations
    assert b'"length"' in got.body


async def test_all_replicas_failing_is_a_typed_error_with_a_real_status() -> None:
    async with FakeEngine() as one, FakeEngine() as two:
        one.default = two.default = Script(Fault.STATUS, status=503)
        async with proxy_for(one, two) as proxy:
            got = await post(proxy.app, "/generate", request_body("/generate"))
    assert (got.status, got.json()["error"]["code"]) == (502, "upstream_failed")
    assert proxy.sink.requests[0].outcome is RequestOutcome.ERROR
    assert proxy.sink.requests[0].retry_refused == "no_replica"


async def test_all_replicas_failing_after_text_is_an_error_in_the_stream_without_done() -> None:
    async with FakeEngine() as one, FakeEngine() as two:
        one.default = two.default = Script(Fault.CUT, after=10, pause_after=7)
        two.resume.set()
        async with proxy_for(one, two) as proxy:
            got = await post_paused(proxy.app, ROUTES[1], request_body(ROUTES[1]), one.resume)
    assert got.status == 200
    assert words(40).startswith(got.text())
    assert got.error is not None
    assert got.error["code"] == "upstream_failed"
    assert not got.is_done
    assert got.is_ended


async def test_a_replica_that_refuses_connections_is_skipped_and_told() -> None:
    async with (
        FakeEngine() as gone,
        FakeEngine() as healthy,
        proxy_for(gone, healthy, max_attempts=1) as proxy,
    ):
        await gone.stop()
        for _ in range(3):
            got = await post(proxy.app, "/generate", request_body("/generate"))
            assert got.text() == words(40)
    outcomes = [attempt.outcome for attempt in proxy.sink.attempts]
    assert outcomes.count(AttemptOutcome.CONNECT_FAILED) <= 1
    assert proxy.sink.changes[0].state is ReplicaState.UNREACHABLE


async def test_no_replica_reachable_is_503() -> None:
    async with FakeEngine() as one, FakeEngine() as two, proxy_for(one, two) as proxy:
        await one.stop()
        await two.stop()
        got = await post(proxy.app, ROUTES[1], request_body(ROUTES[1]))
        other = await post(proxy.app, "/tokenize", {})
    assert (got.status, got.json()["error"]["code"]) == (503, "no_replica_reachable")
    assert (other.status, other.json()["error"]["code"]) == (503, "no_replica_reachable")
    assert len(got.headers["x-specwatch-request-id"]) == 32


async def test_an_unreachable_replica_is_used_again_when_it_is_back() -> None:
    async with FakeEngine() as one, proxy_for(one) as proxy:
        await one.stop()
        assert (await post(proxy.app, "/generate", request_body("/generate"))).status == 503
        replica = proxy.fleet._replicas[0]
        async with FakeEngine() as back:
            replica.address = back.address
            got = await post(proxy.app, "/generate", request_body("/generate"))
            assert got.text() == words(40)
            assert replica.state is ReplicaState.HEALTHY


async def test_the_engines_4xx_goes_to_the_client_as_it_is() -> None:
    async with FakeEngine() as one, FakeEngine() as two:
        one.default = two.default = Script(Fault.STATUS, status=422)
        async with proxy_for(one, two) as proxy:
            got = await post(proxy.app, ROUTES[1], request_body(ROUTES[1]))
    assert (got.status, got.json()) == (422, {"error": {"message": "scripted"}})
    assert len(proxy.sink.attempts) == 1
    assert proxy.sink.requests[0].outcome is RequestOutcome.REJECTED


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"retry_budget_ratio": 0.0, "retry_budget_min_per_second": 0.0}, "budget"),
        ({"max_attempts": 1}, "attempts"),
        ({"deadline_seconds": 1e-9}, "deadline"),
    ],
)
async def test_retries_are_bounded(options: dict[str, float], refusal: str) -> None:
    async with FakeEngine() as one, FakeEngine() as two:
        one.default = Script(Fault.STATUS)
        async with proxy_for(one, two, **options) as proxy:
            got = await post(proxy.app, "/generate", request_body("/generate"))
    assert got.status == 502
    assert proxy.sink.requests[0].retry_refused == refusal
    assert not two.generations


@pytest.mark.parametrize(
    "body",
    [b"{", b"[1]", b'"x"', b"", b"\xff\xfe", b"[" * 100_000, b'{"stream": "yes"}', b'{"model": 5}'],
)
async def test_a_broken_body_is_400_and_no_engine_hears_of_it(body: bytes) -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        for route in ROUTES:
            got = await post(proxy.app, route, body)
            assert (got.status, got.json()["error"]["type"]) == (400, "invalid_request_error")
    assert not engine.generations


async def test_a_body_over_the_limit_is_413() -> None:
    async with FakeEngine() as engine, proxy_for(engine, max_body_bytes=100) as proxy:
        got = await post(proxy.app, "/generate", [b"x" * 60, b"x" * 60])
    assert got.status == 413


async def test_an_event_over_the_limit_is_a_failure_like_any_other() -> None:
    async with FakeEngine() as one:
        options = {"max_event_bytes": 200, "on_exhausted": OnExhausted.ERROR}
        async with proxy_for(one, release=ReleaseMode.BUFFER, **options) as proxy:
            got = await post(proxy.app, "/generate", request_body("/generate"))
    assert got.status == 502
    assert "malformed_stream" in (proxy.sink.attempts[0].error or "")
