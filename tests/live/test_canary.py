"""1,000 requests with a canary in prompt, answer, headers and query, and everything that is kept.

The real process with Redis and a collector of spans, at every log level; with evidence capture on,
the canary is where it should be, so that the search is known to find it.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from redis.asyncio import Redis

from monitor.demo.process import Command, Stack
from tests.alerts.tools import tool
from tests.fakes.collector import FakeCollector
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import ALL_ROUTES
from tests.fakes.script import HEALTHY, Fault, Script
from tests.live.processes import free_port
from tests.live.redis_outage import redis_answers, wait_for
from tests.monitor.test_privacy_process import CANARY, PAGES, bodies, page
from tests.monitor.test_serve import proxy, start

REQUESTS = dict.fromkeys(("debug", "info", "warning", "error"), 1000)
WORD = f"{CANARY} "  # apart: run together they look like a key, which is taken out
AT_ONCE = 8
FAULTS = (Fault.LOW_ACCEPTANCE, Fault.CUT, Fault.BAD_JSON, Fault.STATUS)
SHOWN = {"x-mine": CANARY, "cookie": CANARY, "user-agent": CANARY, "x-request-id": CANARY}


@dataclass
class Kept:
    """Everything that stays after the requests.

    Attributes:
        incidents: how many.
    """

    answers: int
    incidents: int
    log: str
    pages: str
    redis: bytes
    spans: bytes


@asynccontextmanager
async def redis_server(folder: Path, stack: Stack) -> AsyncIterator[Redis]:
    """A real one whose dumps are plain text."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--rdbcompression", "no"]
    program = [tool("redis-server"), *options]
    await stack.start(Command("redis", program, "", folder / "redis.log"))
    async with Redis(port=port) as client:
        await wait_for(lambda: redis_answers(client))
        yield client


async def send(session: aiohttp.ClientSession, front: str, count: int, sick: FakeEngine) -> int:
    """So many, a few at a time, good ones and bad ones; how many answers had the canary."""

    async def one(number: int) -> bool:
        if number % 5 == 0:
            sick.scripts.append(Script(FAULTS[number // 5 % len(FAULTS)], after=10, word=WORD))
        route = ALL_ROUTES[number % len(ALL_ROUTES)]
        made = bodies(route)
        data = made[1 + number % 2] if number % 10 == 9 else made[0]
        url = f"{front}{route}?q={CANARY}"
        async with session.post(url, data=data, headers=SHOWN) as response:
            return CANARY in await response.text()

    found = 0
    for first in range(0, count, AT_ONCE):
        found += sum(await asyncio.gather(*map(one, range(first, min(count, first + AT_ONCE)))))
    return found


async def kept_after(folder: Path, level: str, count: int, *flags: str) -> Kept:
    """What one proxy leaves everywhere."""
    async with AsyncExitStack() as exits:
        collector = await exits.enter_async_context(FakeCollector())
        sick, well = FakeEngine(40), FakeEngine(40)
        for engine in (sick, well):
            await exits.enter_async_context(engine)
            engine.default = Script(HEALTHY.fault, word=WORD)
        session = await exits.enter_async_context(aiohttp.ClientSession())
        stack = await exits.enter_async_context(Stack())
        redis = await exits.enter_async_context(redis_server(folder, stack))
        port = redis.connection_pool.connection_kwargs["port"]
        options = ["--log-level", level, "--panel", "published", "--retry-budget-ratio", "1"]
        options += ["--accept-length-after-tokens", "8", "--admin-key", "admin"]
        options += ["--redis", f"redis://127.0.0.1:{port}/0", "--max-ejected-share", "0"]
        options += ["--otlp-endpoint", collector.address, *flags]
        front, serving = proxy(folder, [sick.address, well.address], *options)
        await start(stack, session, serving)
        answers = await send(session, front, count, sick)
        pages = [await page(session, front, path) for path in PAGES]
        incidents = json.loads(pages[1])["incidents"]
        for one in incidents[:20]:
            for path in (f"incidents/{one['id']}", f"requests/{one['request_id']}"):
                pages.append(await page(session, front, f"/api/{path}"))
        stack.child("proxy").terminate()
        await stack.child("proxy").wait()
        names = [name async for name in redis.scan_iter("*")]
        dumps = [await redis.dump(name) or b"" for name in names]
        log = await asyncio.to_thread((folder / "proxy.log").read_text)
        return Kept(
            answers,
            len(incidents),
            log,
            "".join(pages),
            b"".join([*names, *dumps]),
            b"".join(collector.bodies),
        )


@pytest.mark.parametrize("level", REQUESTS)
async def test_the_canary_is_nowhere(level: str, tmp_path: Path) -> None:
    """Not in logs, metrics, pages, incidents, Redis or spans."""
    kept = await kept_after(tmp_path, level, REQUESTS[level])
    assert kept.answers > REQUESTS[level] // 2
    assert kept.incidents > 0
    assert b"gen_ai.evaluation.result" in kept.spans
    assert b"specwatch:" in kept.redis
    assert CANARY not in kept.log + kept.pages
    assert CANARY.encode() not in kept.redis + kept.spans


async def test_with_capture_it_is_found(tmp_path: Path) -> None:
    """In incidents, here and in Redis, and nowhere else."""
    kept = await kept_after(tmp_path, "debug", 40, "--capture-text")
    assert CANARY in kept.pages
    assert CANARY.encode() in kept.redis
    assert CANARY not in kept.log
    assert CANARY.encode() not in kept.spans
