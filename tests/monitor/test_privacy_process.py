"""A canary in prompts, answers and keys, through a real process that logs all it can."""

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from monitor.demo.process import Stack
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import ALL_ROUTES, request_body
from tests.fakes.script import HEALTHY, Fault, Script
from tests.monitor.test_serve import proxy, start

CANARY = "canary7f3a"
ADMIN = {"authorization": "Bearer admin"}
FAULTS = (Fault.LOW_ACCEPTANCE, Fault.CUT, Fault.BAD_JSON, Fault.STATUS)
ROUNDS = 40


def bodies(route: str) -> list[bytes]:
    """One that works, and two that do not."""
    body = request_body(route) | {"user": CANARY, "metadata": {"a": CANARY}}
    for name in ("text", "input", "prompt"):
        if name in body:
            body[name] = CANARY
    if "messages" in body:
        body["messages"] = [{"role": "user", "content": CANARY}]
    whole = json.dumps(body).encode()
    return [whole, whole[:-1], json.dumps(body | {"stream": CANARY}).encode()]


@pytest.mark.parametrize("level", ["debug", "info"])
async def test_the_canary_is_nowhere_but_in_the_answers(tmp_path: Path, level: str) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"sk-{CANARY}\n")
    flags = ["--log-level", level, "--panel", "published", "--retry-budget-ratio", "1"]
    flags += ["--api-keys", str(keys), "--admin-key", "admin"]
    shown = {"authorization": f"Bearer sk-{CANARY}", "x-mine": CANARY, "cookie": CANARY}
    answers = 0
    async with FakeEngine(300) as one, FakeEngine(300) as two, Stack() as stack:
        one.default = two.default = Script(HEALTHY.fault, word=CANARY)
        front, serving = proxy(tmp_path, [one.address, two.address], *flags)
        async with aiohttp.ClientSession() as session:
            await start(stack, session, serving)
            for number in range(ROUNDS):
                one.scripts.append(Script(FAULTS[number % len(FAULTS)], after=10, word=CANARY))
                route = ALL_ROUTES[number % len(ALL_ROUTES)]
                for data in bodies(route):
                    url = f"{front}{route}?q={CANARY}"
                    async with session.post(url, data=data, headers=shown) as response:
                        answers += CANARY in await response.text()
            async with session.post(f"{front}/{CANARY}", headers={"x-api-key": CANARY}) as refused:
                assert refused.status == 401
            told = [await page(session, front, path) for path in PAGES]
            incidents = json.loads(told[1])["incidents"]
            for incident in incidents:
                for path in (f"incidents/{incident['id']}", f"requests/{incident['request_id']}"):
                    told.append(await page(session, front, f"/api/{path}"))
        await stack.end_all()
    log = await asyncio.to_thread((tmp_path / "proxy.log").read_text)
    assert answers >= ROUNDS // 2
    assert incidents
    assert CANARY not in "".join(told)
    assert "watching http" in log
    assert CANARY not in log


LIVE = "/api/live"
PAGES = (
    "/metrics",
    "/api/incidents?limit=1000",
    "/api/replicas",
    "/api/acceptance",
    "/api/judge",
    "/ready",
    "/api/budget",
    LIVE,
)


async def page(session: aiohttp.ClientSession, front: str, path: str) -> str:
    """One of the monitor's; of what is pushed, the first event."""
    async with session.get(f"{front}{path}", headers=ADMIN) as response:
        assert response.status == 200, path
        if path == LIVE:
            return (await response.content.readuntil(b"\n\n")).decode()
        return await response.text()
