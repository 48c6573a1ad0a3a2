"""A second replica beside a slow first one: who gets it, who pays, and that nothing leaks."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from retry_proxy.decide.hedge import Hedging, has_begun, is_safe_to_duplicate
from retry_proxy.decide.hedge_after import HedgeAfter
from retry_proxy.engines.call import Route, parse_call
from retry_proxy.errors import InvalidConfig
from retry_proxy.events import AttemptOutcome, RequestOutcome
from tests.fakes.asgi_client import post, start
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import Proxy, answer_of, proxy_for, request_body, words
from tests.fakes.script import Fault, Script

SILENT = Script(Fault.STALL_HEAD)
GENERATE = "/generate"
ON = {"hedge_after": "0.05", "hedge_share": 1.0, "first_byte_timeout_seconds": 5.0}
A = AttemptOutcome


@asynccontextmanager
async def hedging(*engines: FakeEngine, **options: Any) -> AsyncIterator[Proxy]:
    """A proxy that has served some requests, so that there is something to take a share of."""
    async with proxy_for(*engines, **{**ON, **options}) as proxy:
        for _ in range(200):
            if proxy.fleet.hedging is not None:
                proxy.fleet.hedging.note_request(time.monotonic())
        yield proxy


def outcomes(proxy: Proxy) -> list[AttemptOutcome]:
    return [one.outcome for one in sorted(proxy.sink.attempts, key=lambda one: one.attempt)]


@pytest.mark.parametrize("text", ["0.8", "p95", " P99.9 "])
def test_when(text: str) -> None:
    after = HedgeAfter.parse(text)
    assert (after.seconds is None) is ("9" in text)


@pytest.mark.parametrize("text", ["", "p", "p100", "p10", "-1", "0", "nan", "inf", "pnan", "95%"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfig):
        HedgeAfter.parse(text)


def test_a_percentile_waits_for_enough_answers_and_follows_them() -> None:
    hedging = Hedging(HedgeAfter.parse("p90"), 0.05)
    for _ in range(49):
        hedging.note_first_token(9.0)
    assert hedging.delay_seconds is None
    hedging.note_first_token(9.0)
    assert hedging.delay_seconds == 9.0
    for number in range(1024):
        hedging.note_first_token(number % 100 / 100)
    assert hedging.delay_seconds == pytest.approx(0.9, abs=0.02)


def test_no_more_than_the_share_is_doubled() -> None:
    hedging, doubled = Hedging(HedgeAfter(seconds=0.1), 0.05), 0
    for number in range(10_000):
        hedging.note_request(number / 100)
        if hedging.can_spend(number / 100):
            hedging.spend(number / 100)
            doubled += 1
    assert 300 < doubled <= 500


@pytest.mark.parametrize(
    ("route", "extra", "header", "is_safe"),
    [
        (Route.CHAT, b"", "x-other", True),
        (Route.CHAT, b"", "idempotency-key", False),
        (Route.RESPONSES, b"", "x-other", False),
        (Route.GENERATE, b', "bootstrap_room": 0', "x-other", False),
        (Route.GENERATE, b', "rid": "mine"', "x-other", False),
        (Route.CHAT, b', "kv_transfer_params": {}', "x-other", False),
    ],
)
def test_what_is_safe_to_do_twice(route: Route, extra: bytes, header: str, is_safe: bool) -> None:
    call = parse_call(route, b'{"stream": true' + extra + b"}")
    assert is_safe_to_duplicate(call, [(header, "1")]) is is_safe


def test_a_comment_is_no_beginning() -> None:
    assert not has_begun(Route.CHAT, b": still working\n\n")
    assert not has_begun(
        Route.MESSAGES, b'event: message_start\ndata: {"type": "message_start"}\n\n'
    )
    assert has_begun(Route.CHAT, b": still working\n\ndata: {")


async def test_the_quicker_replica_answers_and_the_slow_one_is_aborted() -> None:
    slow, quick = FakeEngine(default=SILENT), FakeEngine()
    async with slow, quick, hedging(slow, quick) as proxy:
        began = time.monotonic()
        got = await post(proxy.app, GENERATE, request_body(GENERATE))
        assert time.monotonic() - began < 2.0
        await slow.wait_for(aborts=1, open_streams=0)
        assert (got.text(), got.is_done) == (words(40), True)
        assert got.headers["x-specwatch-attempts"] == "2"
        assert slow.aborts == [slow.rids[0]]
        assert quick.aborts == []
        assert outcomes(proxy) == [A.OUTRUN, A.COMPLETED]
        assert [one.is_hedge for one in proxy.sink.attempts] == [False, True]
        request = proxy.sink.requests[0]
        assert (request.outcome, request.attempts) == (RequestOutcome.CLEAN, 2)
        assert 0.04 < request.added_delay_seconds < 1.0
        assert [one.outstanding_tokens for one in proxy.fleet.snapshot()] == [0, 0]


@pytest.mark.parametrize("stream", [True, False])
async def test_the_first_may_win_after_all(stream: bool) -> None:
    first, second = FakeEngine(default=Script(pause_after=0)), FakeEngine(default=SILENT)
    async with first, second, hedging(first, second) as proxy:
        asking = start(proxy.app, "POST", GENERATE, request_body(GENERATE, stream=stream))
        await second.wait_for(open_streams=1)
        first.resume.set()
        got = await asking.finish()
        await second.wait_for(aborts=1, open_streams=0)
        text = got.text() if stream else answer_of(GENERATE, got.json())
        assert text == words(40)
        assert got.headers["x-specwatch-attempts"] == "2"
        assert outcomes(proxy) == [A.COMPLETED, A.OUTRUN]
        assert proxy.sink.requests[0].added_delay_seconds < 0.05
        assert first.aborts == []


@pytest.mark.parametrize("fault", [Fault.STATUS, Fault.CUT, Fault.ERROR_EVENT])
async def test_a_second_one_that_fails_leaves_the_first_alone(fault: Fault) -> None:
    first, second = FakeEngine(default=Script(pause_after=0)), FakeEngine(default=Script(fault))
    third = FakeEngine()
    async with first, second, third, hedging(first, second, third) as proxy:
        asking = start(proxy.app, "POST", GENERATE, request_body(GENERATE))
        async with asyncio.timeout(5):
            while not second.generations:  # noqa: ASYNC110 (the fake has no event for it)
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        first.resume.set()
        got = await asking.finish()
        assert (got.text(), got.is_done) == (words(40), True)
        assert not any(one.in_flight for one in proxy.fleet.snapshot())


async def test_both_fail_and_the_retry_goes_on() -> None:
    slow, broken, well = FakeEngine(default=SILENT), FakeEngine(), FakeEngine()
    broken.default = Script(Fault.STATUS)
    members, wait = (slow, broken, well), 0.3
    async with slow, broken, well, hedging(*members, first_byte_timeout_seconds=wait) as proxy:
        got = await post(proxy.app, GENERATE, request_body(GENERATE))
        assert (got.text(), got.is_done) == (words(40), True)
        assert outcomes(proxy) == [A.UPSTREAM_ERROR, A.UPSTREAM_ERROR, A.COMPLETED]
        assert proxy.sink.requests[0].outcome is RequestOutcome.RETRIED_CLEAN


async def test_the_client_leaves_while_both_run() -> None:
    engines = [FakeEngine(default=SILENT), FakeEngine(default=SILENT)]
    async with engines[0], engines[1], hedging(*engines) as proxy:
        asking = start(proxy.app, "POST", GENERATE, request_body(GENERATE))
        for engine in engines:
            await engine.wait_for(open_streams=1)
        await asking.leave()
        for engine in engines:
            await engine.wait_for(aborts=1, open_streams=0)
        assert outcomes(proxy) == [A.CLIENT_GONE, A.CLIENT_GONE]
        assert [one.in_flight for one in proxy.fleet.snapshot()] == [0, 0]


@pytest.mark.parametrize(
    "options",
    [
        {"hedge_after": None},
        {"abort_limit_per_minute": 0},
        {"retry_budget_ratio": 0.0, "retry_budget_min_per_second": 0.0},
        {"hedge_share": 0.001},
        {"max_attempts": 1},
        {"hedge_after": "p95"},
    ],
)
async def test_without_leave_nothing_is_doubled(options: dict[str, object]) -> None:
    first, second = FakeEngine(default=Script(pause_after=0)), FakeEngine()
    async with first, second, hedging(first, second, **options) as proxy:
        asking = start(proxy.app, "POST", GENERATE, request_body(GENERATE))
        await first.wait_for(open_streams=1)
        await asyncio.sleep(0.2)
        assert second.generations == []
        first.resume.set()
        assert (await asking.finish()).text() == words(40)
        assert len(proxy.sink.attempts) == 1


async def test_alone_or_with_a_key_of_its_own_it_waits() -> None:
    first = FakeEngine(default=Script(pause_after=0))
    async with first, FakeEngine() as second:
        async with hedging(first) as proxy:
            asking = start(proxy.app, "POST", GENERATE, request_body(GENERATE))
            await asyncio.sleep(0.15)
            first.resume.set()
            assert (await asking.finish()).text() == words(40)
        first.resume.clear()
        async with hedging(first, second) as proxy:
            headers = [("host", "proxy"), ("idempotency-key", "k")]
            asking = start(proxy.app, "POST", GENERATE, request_body(GENERATE), headers=headers)
            await asyncio.sleep(0.15)
            assert second.generations == []
            first.resume.set()
            assert (await asking.finish()).text() == words(40)


async def test_a_sick_winner_is_stopped_as_ever() -> None:
    slow = FakeEngine(default=SILENT, answer_tokens=400)
    sick = FakeEngine(default=Script(Fault.LOW_ACCEPTANCE, after=20), answer_tokens=400)
    well = FakeEngine(answer_tokens=400)
    async with slow, sick, well, hedging(slow, sick, well) as proxy:
        got = await post(proxy.app, GENERATE, request_body(GENERATE))
        assert (got.text(), got.is_done) == (words(128), True)  # SGLang's own limit
        assert outcomes(proxy) == [A.OUTRUN, A.ANOMALY, A.COMPLETED]


async def test_who_was_only_slower_may_help_out() -> None:
    """The winner breaks at once and nobody else is left: the loser once counted as tried."""
    first, second = FakeEngine(default=Script(pause_after=0)), FakeEngine()
    second.default = Script(Fault.CUT, after=1)
    async with first, second, hedging(first, second) as proxy:
        asking = start(proxy.app, "POST", GENERATE, request_body(GENERATE))
        await first.wait_for(aborts=1)
        first.resume.set()
        got = await asking.finish()
        assert (got.text(), got.is_done) == (words(40), True)
        assert outcomes(proxy) == [A.OUTRUN, A.UPSTREAM_ERROR, A.COMPLETED]


async def test_a_hundred_at_once_leak_nothing() -> None:
    mixed = [SILENT, Script(), Script(Fault.CUT), Script(Fault.STATUS)]
    one, two, three = FakeEngine(), FakeEngine(), FakeEngine()
    for engine, shift in ((one, 0), (two, 1)):
        scripts = itertools.islice(itertools.cycle(mixed[shift:] + mixed[:shift]), 100)
        engine.scripts.extend(scripts)
    options = {"first_byte_timeout_seconds": 2.5, "abort_limit_per_minute": 10_000}
    options |= {"trip_after_failures": 1000, "retry_budget_min_per_second": 1000}
    async with one, two, three, hedging(one, two, three, max_attempts=9, **options) as proxy:
        body = request_body(GENERATE)
        got = await asyncio.gather(*(post(proxy.app, GENERATE, body) for _ in range(100)))
        bad = [(each.status, each.body[-200:]) for each in got if each.text() != words(40)]
        assert not bad, (len(bad), bad[:3])
        await proxy.fleet.settle()
        for engine in (one, two, three):
            await engine.wait_for(open_streams=0)
        assert all(replica.outstanding_tokens == 0 for replica in proxy.fleet.snapshot())
        assert any(attempt.outcome is A.OUTRUN for attempt in proxy.sink.attempts)
