"""Proxies that run side by side for a measurement: started on one core, and what they have used."""

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fault_process import free_port, running
from benchmarks.fault_proxies import Proxy, Setting

LOAD_CORE, PROXY_CORE = 0, 1


@dataclass(slots=True)
class Peer:
    """One proxy that runs, as one process with its children, or several on one port."""

    name: str
    processes: list[subprocess.Popen[bytes]]
    port: int

    def cpu_seconds(self) -> float:
        """Processor time so far."""
        return sum(cpu_seconds(each.pid) for each in self.processes)

    def memory_mb(self) -> float:
        """Resident memory."""
        return sum(memory_mb(each.pid) for each in self.processes)


def specwatch(name: str, folder: Path | None = None, *options: str) -> Proxy:
    """This repository's proxy, all defaults; or the one installed in a folder."""

    def command(setting: Setting) -> list[str]:
        replicas = [f"--replica=http://127.0.0.1:{port}" for port in setting.replicas]
        place = f"import sys; sys.path.insert(0, {str(folder or Path.cwd())!r}); "
        run = "sys.argv[0] = 'specwatch'; from monitor.cli import app; app()"
        arguments = [f"--port={setting.port}", *replicas, "--log-level=warning", *options]
        return ["-P", "-c", place + run, "serve", *arguments]

    version = ["-c", "from monitor.version import VERSION; print(VERSION)"]
    return Proxy(name, sys.executable, command, version, "all detectors on")


def naive() -> Proxy:
    def command(setting: Setting) -> list[str]:
        upstream = f"http://127.0.0.1:{setting.replicas[0]}"
        return ["-m", "benchmarks.naive_proxy", upstream, str(setting.port)]

    return Proxy("FastAPI, httpx, json.loads", sys.executable, command, ["--version"], "")


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its children so far."""
    total = 0.0
    for each in (pid, *children(pid)):
        for path in Path(f"/proc/{each}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError):
                total += int(path.read_text().split()[0]) / 1e9
    return total


def children(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(each) for each in path.read_text().split()]
    return found + [grand for child in found for grand in children(child)]


def memory_mb(pid: int) -> float:
    """Resident memory of a process and its children."""
    page_mb = os.sysconf("SC_PAGE_SIZE") / 2**20
    total = 0.0
    for each in (pid, *children(pid)):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{each}/statm").read_text().split()[1]) * page_mb
    return total


@contextlib.asynccontextmanager
async def all_running(proxies: list[Proxy], upstream_port: int) -> AsyncIterator[list[Peer]]:
    """All of them at once, on one core."""
    async with contextlib.AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        peers: list[Peer] = []
        for number, proxy in enumerate(proxies):
            place = Path(folder) / str(number)
            place.mkdir()
            setting = Setting(free_port(), free_port(), [upstream_port], place)
            process = await stack.enter_async_context(running(proxy, setting))
            os.sched_setaffinity(process.pid, {PROXY_CORE})  # before it has threads
            peers.append(Peer(proxy.name, [process], setting.port))
        yield peers


async def until_reachable(peer: Peer) -> None:
    """Raises ``SystemExit`` if it does not come up."""
    for _ in range(300):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", peer.port)
            writer.close()
            return
        await asyncio.sleep(0.1)
    raise SystemExit(f"{peer.name} does not answer on its port")
