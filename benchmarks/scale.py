"""Whether the proxy's cost stays flat: more streams, more replicas, more processes on a port.

The load has one core and the proxy the other, as in ``benchmarks.proxy``; two processes share the
proxy's core, so that what is shown of them is that neither costs more for the other's presence.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from benchmarks.fault_process import free_port, running
from benchmarks.fault_proxies import Setting
from benchmarks.peers import LOAD_CORE, PROXY_CORE, Peer, specwatch, until_reachable
from benchmarks.proxy import PACED_PER_SECOND, Bench, Measured
from benchmarks.results import Report, publish

COLUMNS = ("what", "streams", "replicas", "processes", "µs an event", "core", "KiB a stream")
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Case:
    """One row."""

    what: str
    streams: int
    replicas: int = 2
    processes: int = 1
    is_paced: bool = False


CASES = (
    Case("streams", 100),
    Case("streams", 1000),
    Case("streams", 5000),
    Case("replicas", 100, replicas=2),
    Case("replicas", 100, replicas=64),
    Case("replicas", 100, replicas=512),
    Case("processes", 100, processes=1),
    Case("processes", 100, processes=2),
    Case("50 events a second each", 500, is_paced=True),
)


def hosts(count: int) -> list[str]:
    """So many addresses of this machine, one a replica."""
    return [f"127.0.{number // 200}.{number % 200 + 1}" for number in range(count)]


@asynccontextmanager
async def started(case: Case, port: int, folder: Path | None) -> AsyncIterator[Peer]:
    """The proxy of a case, its processes on one core."""
    front = free_port()
    names = [f"--replica=http://{host}:{port}" for host in hosts(case.replicas)]
    proxy = specwatch("specwatch", folder, *names, "--share-port")
    async with contextlib.AsyncExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        peer = Peer("specwatch", [], front)
        for _ in range(case.processes):
            setting = Setting(front, free_port(), [], place)
            process = await stack.enter_async_context(running(proxy, setting))
            os.sched_setaffinity(process.pid, {PROXY_CORE})
            peer.processes.append(process)
        await until_reachable(peer)
        await asyncio.sleep(_SETTLE_SECONDS * case.processes)
        yield peer


async def measure(options: argparse.Namespace) -> list[tuple[Case, Measured, float]]:
    """Every case by itself; with each its memory before any stream, in MB."""
    os.sched_setaffinity(0, {LOAD_CORE})
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    bench, port = Bench(), free_port()
    server = await bench.serve(hosts(max(case.replicas for case in CASES)), port)
    found = []
    with Progress() as progress:
        for case in progress.track(CASES):
            if case.streams > options.most:
                continue
            async with started(case, port, options.compiled) as peer:
                idle, measured = peer.memory_mb(), Measured()
                for _ in range(options.rounds):
                    await bench.window(
                        peer, case.streams, options.seconds, measured, paced=case.is_paced
                    )
            found.append((case, measured, idle))
    server.close()
    return found


def report(found: list[tuple[Case, Measured, float]]) -> Report:
    """A row a case."""
    rows = []
    for case, measured, idle in found:
        cost = statistics.median(measured.microseconds) if measured.microseconds else None
        share = cost * case.streams * PACED_PER_SECOND / 1e6 if cost and case.is_paced else None
        grown = (statistics.median(measured.memory_mb) - idle) * 1024 / case.streams
        rows.append(
            [
                case.what,
                f"{case.streams:,}",
                str(case.replicas),
                str(case.processes),
                "" if cost is None else f"{cost:.1f}",
                "" if share is None else f"{share:.0%}",
                f"{grown:.0f}" if case.streams >= 1000 else "",
            ]
        )
    return Report(
        name="scale",
        title="What the proxy costs as things grow",
        device="cpu",
        columns=COLUMNS,
        rows=rows,
        notes=(
            "Lock-step as in the proxy benchmark; all detectors on; processor time with the "
            "kernel's. Compare rows within a run: the times are this machine's on that day.",
            "Processes: both on the one core that the load leaves, so no throughput is claimed.",
            "Memory: grown since the start, over the open streams.",
        ),
        raw={
            f"{case.what}, {case.streams}, {case.replicas}, {case.processes}": {
                "microseconds": measured.microseconds,
                "memory_mb": measured.memory_mb,
                "idle_mb": idle,
                "errors": measured.errors[:3],
            }
            for case, measured, idle in found
        },
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of a window")
    parser.add_argument("--most", type=int, default=5000, help="streams; leaves out larger cases")
    parser.add_argument("--compiled", type=Path, help="folder with the compiled wheel")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/")
    return parser.parse_args()


def main() -> None:
    options = parse()
    publish(report(asyncio.run(measure(options))), write=options.write)


if __name__ == "__main__":
    main()
