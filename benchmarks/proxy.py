"""What proxies cost: processor time for each streamed event, all in one interleaved run.

One core for every proxy in turn, the other for the load. specwatch runs all its detectors on every
event; the others look at nothing, but for the FastAPI proxy, which parses each event.
"""

import argparse
import asyncio
import contextlib
import itertools
import os
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import Progress

from benchmarks.fault_proxies import Proxy, nginx, smg
from benchmarks.peers import LOAD_CORE, Peer, all_running, naive, specwatch, until_reachable
from benchmarks.results import Report, publish
from benchmarks.stream_load import (
    ClientConnection,
    Load,
    Stream,
    UpstreamConnection,
    events,
    words,
)

WARM_SECONDS = 1.0
PACED_PER_SECOND = 50.0
COLUMNS = (
    "proxy",
    "streams",
    "µs an event",
    "x smg",
    "x nginx",
    "first token later, ms",
    "RSS, MB",
)


@dataclass(slots=True)
class Measured:
    """All windows of one proxy and one number of streams.

    Attributes:
        microseconds: processor time for an event, a value a window.
        first_token: seconds from request to first token, a value a stream.
        load: share of a core, of a paced window.
    """

    microseconds: list[float] = field(default_factory=list)
    first_token: list[float] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Bench:
    """The upstream, and one window after the other."""

    def __init__(self) -> None:
        self._events = events(words())
        self.load = Load([], self._events)

    async def serve(self, hosts: Sequence[str] = ("127.0.0.1",), port: int = 0) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        current: Callable[[], Load] = lambda: self.load  # noqa: E731
        return await loop.create_server(lambda: UpstreamConnection(current), hosts, port)

    async def window(
        self, peer: Peer, streams: int, seconds: float, measured: Measured, paced: bool
    ) -> None:
        """Opens the streams through the proxy, lets them run, and closes them."""
        load = self.load = Load([Stream() for _ in range(streams)], self._events)
        load.per_second = PACED_PER_SECOND if paced else None
        loop = asyncio.get_running_loop()
        clients = []
        # Those that are open run already: one after the other, thousands would take minutes.
        for numbers in (range(at, min(at + 200, streams)) for at in range(0, streams, 200)):
            opening = (
                loop.create_connection(
                    lambda number=number: ClientConnection(load, number),  # type: ignore[misc]
                    "127.0.0.1",
                    peer.port,
                )
                for number in numbers
            )
            clients += await asyncio.gather(*opening)
        pace = asyncio.create_task(pacing(load)) if paced else None
        await asyncio.sleep(WARM_SECONDS)
        before, at = peer.cpu_seconds(), load.received
        await asyncio.sleep(seconds)
        spent, count = peer.cpu_seconds() - before, load.received - at
        measured.memory_mb.append(peer.memory_mb())
        if pace is not None:
            pace.cancel()
        for transport, _ in clients:
            transport.abort()
        await asyncio.sleep(0.3)  # the proxy aborts its side
        if count:
            measured.microseconds.append(spent / count * 1e6)
        measured.errors += load.errors

    async def first_tokens(self, peer: Peer, requests: int, measured: Measured) -> None:
        """One request after the other."""
        loop = asyncio.get_running_loop()
        for _ in range(requests):
            load = self.load = Load([Stream()], self._events[:1])
            load.per_second = 0.0
            transport, client = await loop.create_connection(
                lambda load=load: ClientConnection(load, 0),  # type: ignore[misc]
                "127.0.0.1",
                peer.port,
            )
            for _ in range(2000):
                if client.first_at is not None:
                    measured.first_token.append(client.first_at - client.asked_at)
                    break
                await asyncio.sleep(0.0005)
            transport.abort()


async def pacing(load: Load) -> None:
    """Every stream gets its events in an even rhythm, in eight groups as of eight replicas."""
    assert load.per_second is not None
    groups = 8
    for tick in itertools.count():
        started = time.perf_counter()
        for stream in load.streams[tick % groups :: groups]:
            load.send_next(stream)
        spent = time.perf_counter() - started
        await asyncio.sleep(max(0.0, 1 / load.per_second / groups - spent))


async def measure(options: argparse.Namespace) -> dict[tuple[str, int], Measured]:
    """All proxies, interleaved, in a new order each round."""
    os.sched_setaffinity(0, {LOAD_CORE})
    bench = Bench()
    server = await bench.serve()
    port = server.sockets[0].getsockname()[1]
    found: dict[tuple[str, int], Measured] = {}
    async with contextlib.AsyncExitStack() as stack:
        peers = await stack.enter_async_context(all_running(chosen(options), port))
        progress = stack.enter_context(Progress())
        for peer in peers:
            await until_reachable(peer)
        direct = Peer("no proxy", [], port)
        await asyncio.sleep(2)
        task = progress.add_task("", total=options.rounds * len(peers) * len(options.streams))
        for _ in range(options.rounds):
            for streams in options.streams:
                for peer in random.sample(peers, len(peers)):
                    progress.update(task, description=f"{peer.name}, {streams} streams", advance=1)
                    measured = found.setdefault((peer.name, streams), Measured())
                    await bench.window(peer, streams, options.seconds, measured, paced=False)
        for peer in (*peers, direct):
            measured = found.setdefault((peer.name, 1), Measured())
            await bench.first_tokens(peer, options.requests, measured)
    server.close()
    return found


def chosen(options: argparse.Namespace) -> list[Proxy]:
    """Those that are installed."""
    found = [specwatch("specwatch"), naive()]
    if options.compiled is not None:
        found.append(specwatch("specwatch, compiled", options.compiled.resolve()))
    others = [smg(options.smg), nginx("nginx")]
    for one in others:
        if not one.is_installed:
            print(f"left out: {one.name} ({one.program} is not installed)")
    return found + [one for one in others if one.is_installed]


def report(found: dict[tuple[str, int], Measured]) -> Report:
    """Medians, and ratios within the run."""
    names = list(dict.fromkeys(name for name, _ in found))
    counts = sorted({streams for _, streams in found if streams > 1})
    direct = statistics.median(found["no proxy", 1].first_token)
    rows = []
    for streams in counts:
        for name in names:
            one = found.get((name, streams))
            if one is None or not one.microseconds:
                continue
            cost = statistics.median(one.microseconds)
            first = found[name, 1].first_token
            rows.append(
                [
                    name,
                    str(streams),
                    f"{cost:.1f}",
                    _ratio(cost, found.get(("smg", streams))),
                    _ratio(cost, found.get(("nginx", streams))),
                    f"{1000 * (statistics.median(first) - direct):.2f}" if first else "",
                    f"{max(one.memory_mb):.0f}",
                ]
            )
    return Report(
        name="proxy",
        title="What proxies cost for each streamed event",
        device="cpu",
        columns=COLUMNS,
        rows=rows,
        notes=(
            "Processor time of the proxy's processes, kernel included; one core each, lock-step: "
            "the next event of a stream leaves once the client has the one before. Medians of "
            "interleaved windows; trust the ratios, not the times.",
            "The upstream tells no acceptance: specwatch's text detectors carry the watch. "
            "smg and nginx look at nothing; the FastAPI proxy parses each event.",
            "First token: one request at a time, its median less that without a proxy.",
        ),
        raw={
            f"{name}, {streams}": {
                "microseconds": one.microseconds,
                "first_token_ms": [1000 * each for each in one.first_token],
                "errors": one.errors[:3],
            }
            for (name, streams), one in found.items()
        },
    )


def _ratio(cost: float, other: Measured | None) -> str:
    if other is None or not other.microseconds:
        return ""
    return f"{cost / statistics.median(other.microseconds):.2f}"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proxy", description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[64, 500])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a window")
    parser.add_argument("--requests", type=int, default=200, help="for the first token")
    parser.add_argument("--smg", default="smg", help="name or path of the program")
    parser.add_argument(
        "--compiled",
        type=Path,
        help="folder with the compiled wheel (`make compiled`, then `pip install --no-deps "
        "--target FOLDER dist/specwatch-*-cp*.whl`)",
    )
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/")
    return parser.parse_args()


def main() -> None:
    options = parse()
    publish(report(asyncio.run(measure(options))), write=options.write)


if __name__ == "__main__":
    main()
