"""A proxy that shares through a real Redis and one that does not, in front of the same replicas.

And five ways in which that Redis fails.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
from redis.asyncio import Redis
from redis.exceptions import RedisError

from monitor.demo.process import Command, Stack
from monitor.records import IncidentFilter
from monitor.store.baselines import BASELINES, VERSION
from monitor.store.exchange import PROXIES
from monitor.store.redis import RedisStore
from tests.alerts.tools import tool
from tests.fakes.engine import FakeEngine
from tests.fakes.script import Fault, Script
from tests.live.processes import free_port
from tests.live.slow_link import SlowLink, slow_link
from tests.monitor.test_serve import proxy, start

WAIT_SECONDS = 20.0
_PAUSE_SECONDS = 0.08  # an outage is to last longer than the pause of whoever leaves it alone
_BODY = {
    "model": "fake-model",
    "messages": [{"role": "user", "content": "Tell me."}],
    "stream": True,
}


@dataclass
class Tally:
    """What the requests through one proxy came to.

    Attributes:
        seconds: of each, in order.
    """

    failed: int = 0
    seconds: list[float] = field(default_factory=list)

    def percentile(self, share: float) -> float:
        """So many of the requests were as quick as this."""
        return sorted(self.seconds)[int(share * (len(self.seconds) - 1))]


@dataclass
class Outage:
    """All parts of a drill.

    Attributes:
        shared: address of the proxy with Redis.
        alone: of the one without.
        client: to Redis itself, not by the link.
    """

    session: aiohttp.ClientSession
    stack: Stack
    link: SlowLink
    client: Redis
    redis: Command
    shared: str
    alone: str

    async def send(self, front: str, tally: Tally) -> None:
        """One request, whose first attempt is sick: an incident has to be written."""
        began = time.monotonic()
        async with self.session.post(f"{front}/v1/chat/completions", json=_BODY) as response:
            text = await response.text()
        tally.seconds.append(time.monotonic() - began)
        is_whole = response.status == 200 and text.rstrip().endswith("data: [DONE]")
        tally.failed += not is_whole

    async def send_to_both(self, count: int) -> tuple[Tally, Tally]:
        """The same for either, one after the other: what the machine is busy with meets both."""
        shared, alone = Tally(), Tally()
        for _ in range(count):
            await self.send(self.shared, shared)
            await self.send(self.alone, alone)
            await asyncio.sleep(_PAUSE_SECONDS)
        return shared, alone

    async def own_incidents(self) -> set[str]:
        """What the proxy tells to who asks."""
        url = f"{self.shared}/api/incidents?limit=1000"
        async with self.session.get(url) as response:
            content = await response.json()
        return {one["id"] for one in content["incidents"]}

    async def store_is_up(self) -> bool:
        """By its metrics."""
        async with self.session.get(f"{self.shared}/metrics") as response:
            lines = (await response.text()).splitlines()
        return "specwatch_store_up 1.0" in [line.replace('{kind="redis"}', "") for line in lines]

    async def written_incidents(self) -> set[str]:
        """What any other proxy would read in Redis."""
        store = RedisStore(self.client)
        found = await store.incidents(IncidentFilter(limit=1000))
        return {one.id for one in found}

    async def proxies_told(self) -> int:
        """How many proxies told Redis of their fleet."""
        return int(await self.client.zcard(PROXIES))

    async def signal_redis(self, number: signal.Signals) -> None:
        """To the process itself."""
        child = self.stack.child(self.redis.name)
        os.kill(child.pid, number)
        if number is signal.SIGKILL:
            await child.wait()


Step = Callable[[Outage], Awaitable[None]]


async def _kill(outage: Outage) -> None:
    await outage.signal_redis(signal.SIGKILL)


async def _start_again(outage: Outage) -> None:
    await outage.stack.start(outage.redis)
    await wait_for(lambda: redis_answers(outage.client))


async def _stop(outage: Outage) -> None:
    await outage.signal_redis(signal.SIGSTOP)


async def _go_on(outage: Outage) -> None:
    await outage.signal_redis(signal.SIGCONT)


async def _slow_down(outage: Outage) -> None:
    outage.link.delay_seconds = 0.5


async def _speed_up(outage: Outage) -> None:
    outage.link.delay_seconds = 0.0


async def _fill(outage: Outage) -> None:
    await outage.client.config_set("maxmemory-policy", "noeviction")
    await outage.client.config_set("maxmemory", "1")


async def _make_room(outage: Outage) -> None:
    await outage.client.config_set("maxmemory", "0")


async def _spoil(outage: Outage) -> None:
    """Everything of ours becomes a list, the baselines that nobody has shared yet as well."""
    names = {raw async for raw in outage.client.scan_iter("specwatch:*")}
    assert len(names) > 5
    for name in names | {BASELINES.encode(), VERSION.encode()}:
        await outage.client.delete(name)
        await outage.client.rpush(name, "not ours")


async def _clean(outage: Outage) -> None:
    await outage.client.flushall()


# Name -> how it breaks, how it is mended.
FAULTS: dict[str, tuple[Step, Step]] = {
    "killed": (_kill, _start_again),
    "stopped": (_stop, _go_on),
    "slow": (_slow_down, _speed_up),
    "full": (_fill, _make_room),
    "wrong types": (_spoil, _clean),
}


async def wait_for(is_so: Callable[[], Awaitable[bool]], seconds: float = WAIT_SECONDS) -> float:
    """Seconds until it is so."""
    began = time.monotonic()
    while not await is_so():
        assert time.monotonic() - began < seconds, f"not within {seconds} s"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def redis_answers(client: Redis) -> bool:
    """It is up and takes commands."""
    try:
        return bool(await client.ping())
    except (RedisError, OSError):
        return False


@asynccontextmanager
async def outage(folder: Path) -> AsyncIterator[Outage]:
    """Everything up and healthy."""
    port = free_port()
    program = tool("redis-server")
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    redis = Command("redis", [program, *options], "", folder / "redis.log")
    async with AsyncExitStack() as exits:
        sick = await exits.enter_async_context(FakeEngine(30))
        well = await exits.enter_async_context(FakeEngine(30))
        sick.default = Script(Fault.LOW_ACCEPTANCE, after=5)
        session = await exits.enter_async_context(aiohttp.ClientSession())
        stack = await exits.enter_async_context(Stack())
        client = await exits.enter_async_context(Redis(port=port))
        await stack.start(redis)
        await wait_for(lambda: redis_answers(client))
        link = await exits.enter_async_context(slow_link(port))
        flags = ["--panel", "published", "--accept-length-after-tokens", "8"]
        flags += ["--retry-budget-ratio", "1", "--abort-limit-per-minute", "100000"]
        flags += ["--max-ejected-share", "0"]
        replicas = [sick.address, well.address]
        fronts, commands = [], []
        for name, more in (
            ("shared", ["--redis", f"redis://127.0.0.1:{link.port}/0"]),
            ("alone", []),
        ):
            (folder / name).mkdir()
            front, serving = proxy(folder / name, replicas, *flags, *more)
            fronts.append(front)
            commands.append(replace(serving, name=name))
        await asyncio.gather(*(start(stack, session, command) for command in commands))
        yield Outage(session, stack, link, client, redis, *fronts)
