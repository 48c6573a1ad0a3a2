"""What can be seen of an attempt while it runs, and that nothing of it stays behind."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI

from detectors.verdict import AnomalyKind
from retry_proxy.app import build_app
from retry_proxy.config import PanelName, ProxyConfig
from retry_proxy.events import StepsQuality
from retry_proxy.fleet import Fleet
from retry_proxy.stream.running import Running, RunningAttempt
from tests.fakes.asgi_client import start
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import CHAT, request_body
from tests.fakes.script import DRAFTS, Fault, Script
from tests.fakes.sink import RecordingSink

PATIENCE_SECONDS = 20.0
PAUSED = Script(pause_after=20)
MODEL = "fake-model"


async def until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def seen(running: Running) -> list[RunningAttempt]:
    found = [running.seen(rid) for rid, _ in running.suspicions()]
    return [one for one in found if one is not None]


@asynccontextmanager
async def watched(running: Running, *addresses: str, **options: Any) -> AsyncIterator[FastAPI]:
    """The proxy; at its end nothing runs any more."""
    values = {"panel": PanelName.PUBLISHED, "accept_length_after_tokens": 8, **options}
    config = ProxyConfig(replicas=addresses, **values)
    fleet = Fleet(config, RecordingSink())
    for _ in range(200):  # so that there is something to take a share of
        if fleet.hedging is not None:
            fleet.hedging.note_request(time.monotonic())
    app = build_app(config, sink=RecordingSink(), fleet=fleet, running=running)
    async with app.router.lifespan_context(app):
        yield app
    assert len(running) == 0


def playing(*scripts: Script, **options: Any) -> FakeEngine:
    return FakeEngine(scripts=deque(scripts), **options)


@pytest.mark.parametrize("is_stock", [False, True])
async def test_a_stream_is_seen_with_its_steps_and_gone_at_its_end(is_stock: bool) -> None:
    """Where the engine tells its counters only at the end, the steps are an upper bound."""
    running = Running()
    async with (
        playing(PAUSED, is_stock=is_stock) as engine,
        watched(running, engine.address) as app,
    ):
        client = start(app, "POST", "/generate", request_body("/generate"))
        await until(lambda: any(one.tokens >= 20 for one in seen(running)))
        [(rid, is_suspect)] = running.suspicions()
        [one] = seen(running)
        assert (one.rid, one.attempt, one.replica) == (rid, 1, engine.address)
        assert rid == engine.rids[0]
        assert one.model == MODEL
        assert not is_suspect
        assert one.kind is None
        quality = StepsQuality.UPPER_BOUND if is_stock else StepsQuality.EXACT
        assert one.steps_quality is quality
        assert set(one.recent_steps) == {DRAFTS - 1}
        assert len(one.recent_steps) >= 6
        engine.resume.set()
        await client.finish()
    assert running.seen(rid) is None


async def test_a_stream_that_looks_doubtful_is_suspect_before_any_verdict() -> None:
    running = Running()
    slow = Script(Fault.LOW_ACCEPTANCE, after=10, pause_after=30)
    async with (
        playing(slow) as engine,
        watched(running, engine.address, accept_length_after_tokens=1000) as app,
    ):
        client = start(app, "POST", CHAT, request_body(CHAT))
        await until(lambda: any(flag for _, flag in running.suspicions()))
        [one] = seen(running)
        assert one.is_watching
        assert one.kind is None
        assert one.held_tokens > 0
        engine.resume.set()
        await client.finish()


async def test_a_finding_that_is_let_through_is_shown_with_its_kind() -> None:
    """The last attempt runs on, marked."""
    running = Running()
    sick = Script(Fault.LOW_ACCEPTANCE, after=0, pause_after=30)
    async with playing(sick) as engine, watched(running, engine.address, max_attempts=1) as app:
        client = start(app, "POST", CHAT, request_body(CHAT))
        await until(lambda: any(one.kind is not None for one in seen(running)))
        [one] = seen(running)
        assert one.kind is AnomalyKind.GARBLED
        engine.resume.set()
        await client.finish()


async def test_a_client_that_leaves_leaves_nothing_behind() -> None:
    running = Running()
    async with playing(PAUSED) as engine, watched(running, engine.address) as app:
        client = start(app, "POST", CHAT, request_body(CHAT))
        await until(lambda: any(one.tokens >= 20 for one in seen(running)))
        await client.leave()
        assert len(running) == 0


async def test_an_attempt_that_reaches_no_engine_leaves_nothing_behind() -> None:
    running = Running()
    async with watched(running, "http://127.0.0.1:9") as app:
        answer = await start(app, "POST", CHAT, request_body(CHAT)).finish()
    assert answer.status == 503


async def test_both_attempts_of_a_hedged_request_are_seen() -> None:
    running = Running()
    silent = Script(Fault.STALL_HEAD)
    async with (
        playing(silent) as slow,
        playing(PAUSED) as quick,
        watched(running, slow.address, quick.address, hedge_after="0.05", hedge_share=1.0) as app,
    ):
        client = start(app, "POST", CHAT, request_body(CHAT))
        await until(lambda: any(one.is_hedge for one in seen(running)))
        quick.resume.set()
        await client.finish()
