"""slowhttptest against the edge: 500 clients whose heads never end, and others meanwhile."""

import asyncio
import re
import shutil
import time

import aiohttp
import pytest

from retry_proxy.edge import EdgeLimits, edge_protocol
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import CHAT, proxy_for, request_body
from tests.fakes.served import served

SLOW_CLIENTS = 500
LIMIT_SECONDS = 7.0  # the attacker tells its numbers every five seconds
ATTACK_SECONDS = 20
HEALTHY_SECONDS = 1.0  # of every answer, 99 of 100


@pytest.mark.skipif(shutil.which("slowhttptest") is None, reason="needs slowhttptest")
@pytest.mark.parametrize(
    "mode", ["-H -i 1", "-B -i 15"], ids=["heads that never end", "bodies that stop"]
)
async def test_others_are_served_beside_slow_clients(mode: str) -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        limits = EdgeLimits(receive_timeout_seconds=LIMIT_SECONDS)
        async with served(proxy, http=edge_protocol(limits)) as address:
            attack = asyncio.create_task(attacked(address + CHAT, mode))
            seconds = []
            while not attack.done():
                seconds.append(await answered(address))
                await asyncio.sleep(0.02)
    told = attack.result()
    connected = [int(count) for count in re.findall(r"connected:\s+(\d+)", told)]
    assert max(connected) > SLOW_CLIENTS * 0.9, told
    assert "service available:   NO" not in told
    assert "No open connections left" in told, "each was closed in its time"
    assert len(seconds) > 50
    assert sorted(seconds)[int(len(seconds) * 0.99)] < HEALTHY_SECONDS


async def attacked(url: str, mode: str) -> str:
    """What the attacker says of its connections, once all are closed or its time is over."""
    pace = f"-r {SLOW_CLIENTS} -c {SLOW_CLIENTS} -l {ATTACK_SECONDS} -p {HEALTHY_SECONDS:.0f}"
    arguments = [*mode.split(), *pace.split(), "-u", url]
    process = await asyncio.create_subprocess_exec(
        "slowhttptest", *arguments, stdout=asyncio.subprocess.PIPE
    )
    return re.sub(r"\x1b\[[0-9;]*m", "", (await process.communicate())[0].decode())


async def answered(address: str) -> float:
    """Seconds of one streamed chat of its own connection, whole."""
    began = time.monotonic()
    async with (
        aiohttp.ClientSession() as session,
        session.post(address + CHAT, json=request_body(CHAT)) as answer,
    ):
        assert answer.status == 200
        assert (await answer.read()).endswith(b"data: [DONE]\n\n")
    return time.monotonic() - began
