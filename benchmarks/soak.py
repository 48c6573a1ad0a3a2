"""One proxy under everything that goes wrong, for minutes: memory, tasks and sockets over time.

Rounds of requests, most answered whole, others cut, stalled, malformed, sick, or left by the
client. After each round the proxy comes to rest and is looked at: what is there then, no request
needs. At the end so many clients leave at once, in the middle of their answers.
"""

import argparse
import asyncio
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
from rich.progress import Progress

from benchmarks.fault_client import MAX_TOKENS, ask
from benchmarks.fault_process import free_port, running
from benchmarks.fault_proxies import Proxy, Setting
from benchmarks.fault_replica import NAMES, Fault, Replica, request_body
from benchmarks.peers import Peer, memory_mb, until_reachable
from benchmarks.results import Report, publish

COLUMNS = ("minute", "requests", "RSS, MB", "tasks", "sockets", "streams on the replicas")
REST_SECONDS = 1.5
CLIENTS = 40
LEAVERS_AT_ONCE = 100
REQUESTS_IN_A_ROUND = 500
FAULTS = {
    Fault.NONE: 60,
    Fault.CUT_FIRST: 5,
    Fault.CUT_LATE: 8,
    Fault.STALL_LATE: 4,
    Fault.MALFORMED: 5,
    Fault.ERROR_503: 3,
    Fault.LOOP: 8,
    Fault.MARKS: 7,
}
LEAVING_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Rest:
    """The proxy at rest.

    Attributes:
        seconds: since the load began.
        sockets: open ones of the process, those that listen and idle ones to replicas included.
        streams: that replicas still generate.
    """

    seconds: float
    requests: int
    rss_mb: float
    tasks: int
    sockets: int
    streams: int


@dataclass
class Soak:
    """The proxy's process, its replicas, and the clients."""

    pid: int
    address: str
    count_port: int
    replicas: list[Replica]
    session: aiohttp.ClientSession
    draw: random.Random
    results: Counter[str]

    async def round(self, count: int) -> None:
        """So many requests, some at a time."""
        left = iter(range(count))

        async def client() -> None:
            for _ in left:
                if self.draw.random() < LEAVING_SHARE:
                    await self.leave(self.draw.randrange(1, 40))
                else:
                    judged = await ask(self.session, self.address, self.draw.choice(NAMES))
                    self.results[judged.problem or "whole and clean"] += 1

        await asyncio.gather(*(client() for _ in range(CLIENTS)))

    async def leave(self, lines: int) -> None:
        """A client that goes after so many lines of its answer, or when it ends before."""
        url, body = f"{self.address}/v1/chat/completions", request_body("Alice", MAX_TOKENS)
        answer = await self.session.post(url, json=body)
        async for _ in answer.content:
            lines -= 1
            if lines <= 0:
                break
        answer.close()
        self.results["left by the client"] += 1

    async def look(self, seconds: float, requests: int) -> Rest:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.count_port)
        tasks = int(await reader.readline())
        writer.close()
        streams = sum(replica.running for replica in self.replicas)
        return Rest(seconds, requests, memory_mb(self.pid), tasks, sockets(self.pid), streams)


def sockets(pid: int) -> int:
    """Open sockets of a process, but for the one that is asking."""
    count = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            count += os.readlink(entry).startswith("socket:")
        except FileNotFoundError:
            continue  # closed meanwhile
    return count


@asynccontextmanager
async def started(seed: int) -> AsyncIterator[Soak]:
    draw = random.Random(seed)
    kinds, weights = list(FAULTS), list(FAULTS.values())
    count_port = free_port()

    def command(setting: Setting) -> list[str]:
        replicas = [f"http://127.0.0.1:{port}" for port in setting.replicas]
        ports = [str(setting.port), str(count_port)]
        return ["-m", "benchmarks.soak_proxy", *ports, *replicas]

    proxy = Proxy("specwatch", sys.executable, command, ["--version"], "")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        replicas = [await stack.enter_async_context(Replica()) for _ in range(2)]
        for replica in replicas:
            replica.draw = lambda: draw.choices(kinds, weights)[0]
        setting = Setting(free_port(), free_port(), [each.port for each in replicas], folder)
        process = await stack.enter_async_context(running(proxy, setting))
        await until_reachable(Peer("specwatch", [process], setting.port))
        # A connection for each request: what stays open is then the proxy's alone.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        address = f"http://127.0.0.1:{setting.port}"
        yield Soak(process.pid, address, count_port, replicas, session, draw, Counter())


async def measure(options: argparse.Namespace) -> tuple[list[Rest], Rest, float, Counter[str]]:
    """A look after each round, one after the cancels, how long these took, and the results."""
    async with started(options.seed) as soak:
        began, requests = time.monotonic(), 0
        looks = [await soak.look(0.0, 0)]
        with Progress() as progress:
            shown = progress.add_task("soaking", total=options.minutes * 60)
            while (seconds := time.monotonic() - began) < options.minutes * 60:
                progress.update(shown, completed=seconds)
                await soak.round(REQUESTS_IN_A_ROUND)
                requests += REQUESTS_IN_A_ROUND
                await asyncio.sleep(REST_SECONDS)
                looks.append(await soak.look(time.monotonic() - began, requests))
        slowest = 0.0
        for replica in soak.replicas:
            replica.draw = None
        for _ in range(options.cancels // LEAVERS_AT_ONCE):
            slowest = max(slowest, await cancels(soak))
        await asyncio.sleep(REST_SECONDS)
        requests += options.cancels
        return looks, await soak.look(time.monotonic() - began, requests), slowest, soak.results


async def cancels(soak: Soak) -> float:
    """All leave in the middle; the seconds until no replica generates any more."""
    await asyncio.gather(*(soak.leave(20) for _ in range(LEAVERS_AT_ONCE)))
    left_at = time.monotonic()
    # 5 ms are exact enough, and the replicas serve others that need no event of it.
    while any(each.running for each in soak.replicas):  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    return time.monotonic() - left_at


def slope_mb_per_minute(looks: list[Rest]) -> float:
    """Of the resident memory over the second half, by least squares."""
    half = looks[len(looks) // 2 :]
    minutes = [look.seconds / 60 for look in half]
    return statistics.linear_regression(minutes, [look.rss_mb for look in half]).slope


def report(looks: list[Rest], last: Rest, slowest: float, results: Counter[str]) -> Report:
    step = max(1, len(looks) // 12)
    shown = [*looks[:-1:step], looks[-1]]
    told = ", ".join(f"{name}: {count:,}" for name, count in results.most_common())
    leavers = last.requests - looks[-1].requests
    return Report(
        name="soak",
        title="One proxy under everything that goes wrong",
        device="cpu",
        columns=COLUMNS,
        rows=[*(row(look) for look in shown), row(last)],
        notes=(
            f"Two replicas, each answer with a fault by these odds: {odds()}; "
            f"{LEAVING_SHARE:.0%} of the clients leave in the middle. Answers: {told}. Both "
            "replicas fail, so some requests have nowhere to go; `adaptive` lets the beginning of "
            "sick text pass (see the faults).",
            f"Looked at {REST_SECONDS} s after each {REQUESTS_IN_A_ROUND} requests. Sockets: with "
            "those that listen, the loop's own, and idle connections to replicas.",
            f"Resident memory over the second half: {slope_mb_per_minute(looks):+.2f} MB a "
            "minute. The stories of the last requests and incidents, up to 10,000 of the one and "
            "1,000 of the other, are kept; what they are of it is not told apart.",
            f"The last row is after {leavers:,} more clients that left, {LEAVERS_AT_ONCE} at a "
            f"time; the replicas were idle at most {slowest * 1000:.0f} ms after they had.",
        ),
        raw={
            "at_rest": [asdict(look) for look in (*looks, last)],
            "answers": dict(results),
            "slowest_cancel_seconds": slowest,
        },
    )


def odds() -> str:
    total = sum(FAULTS.values())
    return ", ".join(f"{fault.value} {weight / total:.0%}" for fault, weight in FAULTS.items())


def row(look: Rest) -> list[str]:
    return [
        f"{look.seconds / 60:.1f}",
        f"{look.requests:,}",
        f"{look.rss_mb:.1f}",
        str(look.tasks),
        str(look.sockets),
        str(look.streams),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cancels", type=int, default=1000, help="clients that leave at the end")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/")
    options = parser.parse_args()
    publish(report(*asyncio.run(measure(options))), write=options.write)


if __name__ == "__main__":
    main()
