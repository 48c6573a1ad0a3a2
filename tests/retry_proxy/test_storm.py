"""Retries must not make a bad hour worse: budgets, clients that retry, busy engines, aborts."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import pytest

from retry_proxy.config import OnExhausted
from retry_proxy.decide.abort_limit import AbortLimit
from retry_proxy.decide.budget import RetryBudget
from retry_proxy.decide.busy import is_busy, retry_after_seconds
from retry_proxy.decide.client_retry import allowed_attempts, client_retries
from retry_proxy.events import RequestOutcome
from tests.fakes.asgi_client import Exchange, post
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import Proxy, proxy_for, request_body, words
from tests.fakes.script import Fault, Script

BODY = request_body("/generate", max_tokens=300)


async def fleet_of(stack: AsyncExitStack, size: int, script: Script) -> list[FakeEngine]:
    engines = [await stack.enter_async_context(FakeEngine()) for _ in range(size)]
    for engine in engines:
        engine.default, engine.answer_tokens = script, 150
    return engines


async def ask_many(proxy: Proxy, count: int, at_once: int = 20) -> list[Exchange]:
    answers: list[Exchange] = []
    for _ in range(count // at_once):
        answers += await asyncio.gather(
            *(post(proxy.app, "/generate", BODY) for _ in range(at_once))
        )
    return answers


@pytest.mark.parametrize("script", [Script(Fault.STATUS), Script(Fault.CUT)])
async def test_a_thousand_requests_to_a_fleet_that_is_all_bad(script: Script) -> None:
    async with AsyncExitStack() as stack:
        engines = await fleet_of(stack, 4, script)
        proxy = await stack.enter_async_context(proxy_for(*engines))
        began = time.monotonic()
        answers = await ask_many(proxy, 1000)
        passed = time.monotonic() - began
    attempts = sum(len(engine.generations) for engine in engines)
    assert 1000 <= attempts <= 1.2 * 1000 + 10 * (passed + 1)
    refused = [request.retry_refused for request in proxy.sink.requests]
    assert refused.count("budget") > 500
    assert {answer.headers["x-should-retry"] for answer in answers} == {"false"}


async def test_many_requests_to_a_fleet_that_is_all_anomalous() -> None:
    async with AsyncExitStack() as stack:
        engines = await fleet_of(stack, 4, Script(Fault.LOW_ACCEPTANCE))
        proxy = await stack.enter_async_context(proxy_for(*engines))
        began = time.monotonic()
        answers = await ask_many(proxy, 200)
        passed = time.monotonic() - began
    attempts = sum(len(engine.generations) for engine in engines)
    assert 200 <= attempts <= 1.2 * 200 + 10 * (passed + 1)
    assert {answer.is_done for answer in answers} == {True}, "let through, not refused"


# clients that retry


async def ask_like_an_sdk(proxy: Proxy, *, heeds: bool, retries: int = 2) -> Exchange:
    """OpenAI's client: retries 408, 409, 429 and 5xx unless ``x-should-retry`` says otherwise."""
    for count in range(retries + 1):
        headers = [("x-stainless-retry-count", str(count))]
        got = await post(proxy.app, "/generate", BODY, headers=headers)
        is_bad = got.status in (408, 409, 429) or (got.status or 0) >= 500
        if not is_bad or (heeds and got.headers.get("x-should-retry") == "false"):
            break
    return got


@pytest.mark.parametrize(("heeds", "most"), [(True, 3), (False, 3 + 2 + 1)])
async def test_an_sdks_retries_do_not_multiply_with_ours(heeds: bool, most: int) -> None:
    async with AsyncExitStack() as stack:
        engines = await fleet_of(stack, 6, Script(Fault.STATUS))
        proxy = await stack.enter_async_context(proxy_for(*engines))
        got = await ask_like_an_sdk(proxy, heeds=heeds)
    assert got.status == 502
    assert sum(len(engine.generations) for engine in engines) == most


async def test_a_fleet_that_nobody_reached_is_worth_another_try() -> None:
    async with FakeEngine() as gone:
        pass
    async with proxy_for(gone) as proxy:
        got = await post(proxy.app, "/generate", BODY)
    assert (got.status, got.headers["x-should-retry"]) == (503, "true")


@pytest.mark.parametrize(
    ("value", "retries"), [("0", 0), ("2", 2), ("-1", 0), ("many", 0), ("9999999", 0), ("²", 0)]
)
def test_the_clients_count(value: str, retries: int) -> None:
    assert client_retries([("x-stainless-retry-count", value)]) == retries
    assert client_retries([]) == 0


def test_attempts_left_to_a_clients_retry() -> None:
    assert [allowed_attempts(3, retries) for retries in (0, 1, 2, 50)] == [3, 2, 1, 1]


def test_a_clients_retry_earns_nothing_and_is_paid_for() -> None:
    budget = RetryBudget(ratio=1.0, min_per_second=0)
    budget.note_request(0.0)
    budget.note_client_retry(0.0)
    assert not budget.can_spend(0.0)
    budget.note_client_retry(0.0)
    assert not budget.can_spend(0.0)


# engines without room


@pytest.mark.parametrize("status", [408, 429])
async def test_a_busy_engine_is_no_answer_while_another_has_room(status: int) -> None:
    async with FakeEngine() as busy, FakeEngine() as free:
        busy.default = Script(Fault.STATUS, status=status)
        async with proxy_for(busy, free) as proxy:
            answers = [await post(proxy.app, "/generate", request_body("/generate"))]
            answers += [
                await post(proxy.app, "/generate", request_body("/generate")) for _ in range(5)
            ]
    assert {answer.text() for answer in answers} == {words(40)}
    assert len(busy.generations) == 1, "it is spared for as long as it asked"
    assert proxy.sink.changes == [], "busy is not sick"


async def test_where_all_are_busy_the_engines_words_go_on() -> None:
    async with FakeEngine() as one, FakeEngine() as two:
        one.default = two.default = Script(Fault.STATUS, status=429)
        async with proxy_for(one, two) as proxy:
            got = await post(proxy.app, "/generate", BODY)
    assert (got.status, got.json()) == (429, {"error": {"message": "scripted"}})
    assert (len(one.generations), len(two.generations)) == (1, 1)
    assert proxy.sink.requests[0].outcome is RequestOutcome.REJECTED


async def test_other_refusals_are_the_clients_to_read() -> None:
    async with FakeEngine() as one, FakeEngine() as two:
        one.default = Script(Fault.STATUS, status=422)
        async with proxy_for(one, two) as proxy:
            got = await post(proxy.app, "/generate", BODY)
    assert (got.status, len(two.generations)) == (422, 0)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], 1.0),
        ([("Retry-After", "7")], 7.0),
        ([("retry-after", "99999999999999")], 30.0),
        ([("retry-after", "Thu, 01 Jan 1970 00:00:12 GMT")], 2.0),
        ([("retry-after", "Thu, 01 Jan 1970 00:00:02 GMT")], 0.0),
        ([("retry-after", "soon")], 1.0),
        ([("retry-after", "-5")], 1.0),
    ],
)
def test_how_long_an_engine_wants_to_be_spared(headers: Any, seconds: float) -> None:
    assert retry_after_seconds(headers, unix_now=10.0) == seconds


def test_who_is_busy() -> None:
    assert [status for status in range(400, 600) if is_busy(status)] == [408, 429]


# aborts


async def test_beyond_the_limit_of_aborts_streams_go_on_marked() -> None:
    async with AsyncExitStack() as stack:
        sick, well = await fleet_of(stack, 2, Script())
        sick.default = Script(Fault.LOW_ACCEPTANCE)
        proxy = await stack.enter_async_context(
            proxy_for(sick, well, abort_limit_per_minute=3, max_ejected_share=0.0)
        )
        answers = [await post(proxy.app, "/generate", BODY) for _ in range(20)]
    assert {answer.text() for answer in answers} == {words(150)}
    assert len(sick.aborts) == 3
    outcomes = [request.outcome for request in proxy.sink.requests]
    let_through = len(sick.generations) - 3
    assert outcomes.count(RequestOutcome.MARKED) == let_through > 5
    assert [one.retry_refused for one in proxy.sink.requests].count("aborts") == let_through


async def test_beyond_the_limit_an_error_closes_and_aborts_nothing() -> None:
    async with AsyncExitStack() as stack:
        sick, well = await fleet_of(stack, 2, Script())
        sick.default = Script(Fault.LOW_ACCEPTANCE)
        proxy = await stack.enter_async_context(
            proxy_for(sick, well, abort_limit_per_minute=0, on_exhausted=OnExhausted.ERROR)
        )
        got = await post(proxy.app, "/generate", BODY)
        await sick.wait_for(open_streams=0)
    assert got.error is not None or got.status == 502
    assert sick.aborts == []


def test_the_limit_of_aborts_refills_over_the_minute() -> None:
    limit = AbortLimit()
    made = 0
    for second in range(600):
        while limit.can_abort(float(second), 30):
            limit.note_abort(float(second), 30)
            made += 1
    assert 30 + 0.5 * 590 <= made <= 30 + 0.5 * 600
    assert not AbortLimit().can_abort(0.0, 0)
