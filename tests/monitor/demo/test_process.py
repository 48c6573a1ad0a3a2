"""Children are watched while they start and never left behind."""

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest

from monitor.demo.process import Command, Stack, free_port, last_line
from monitor.errors import DemoFailed

FAKE_REPLICA = Path(__file__).parents[2] / "fakes" / "replica.py"

# A child that ignores SIGTERM and has a child of its own.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(grandchild.pid, flush=True)
time.sleep(60)
"""


def fake_replica(folder: Path, *extra: str) -> Command:
    """A replica without a model."""
    port = free_port()
    return Command(
        name="replica",
        arguments=[sys.executable, str(FAKE_REPLICA), "--port", str(port), *extra],
        ready_url=f"http://127.0.0.1:{port}/ready",
        log=folder / "replica.log",
    )


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


async def gone(pids: list[int]) -> None:
    """Wait until none of them runs; a killed grandchild is not ours to wait for."""
    async with asyncio.timeout(5):
        while any(map(is_alive, pids)):  # noqa: ASYNC110 (their end is no event of ours)
            await asyncio.sleep(0.005)


async def test_a_child_is_ready_once_it_answers(tmp_path: Path) -> None:
    """And gone afterwards."""
    command = fake_replica(tmp_path)
    async with aiohttp.ClientSession() as session:
        async with Stack() as stack:
            await stack.start(command)
            await stack.wait_ready(command, session, 20.0, lambda _line: None)
            pids = stack.pids()
            assert all(map(is_alive, pids))
        assert not any(map(is_alive, pids))


async def test_a_child_that_dies_is_told_with_its_log(tmp_path: Path) -> None:
    """At once, not after the time limit."""
    command = fake_replica(tmp_path, "--fail")
    async with aiohttp.ClientSession() as session, Stack() as stack:
        await stack.start(command)
        with pytest.raises(DemoFailed, match="loading the model failed"):
            await stack.wait_ready(command, session, 20.0, lambda _line: None)


async def test_a_child_that_is_too_slow_is_told(tmp_path: Path) -> None:
    """With the time it had."""
    arguments = [sys.executable, "-c", "import time; time.sleep(60)"]
    url = f"http://127.0.0.1:{free_port()}/ready"
    command = Command("sleeper", arguments, url, tmp_path / "log")
    async with aiohttp.ClientSession() as session, Stack() as stack:
        await stack.start(command)
        with pytest.raises(DemoFailed, match="sleeper was not ready after 0 s"):
            await stack.wait_ready(command, session, 0.05, lambda _line: None)


async def test_a_child_that_ignores_the_signal_is_ended_with_its_own_children(
    tmp_path: Path,
) -> None:
    """Nothing is left behind."""
    log = tmp_path / "log"
    command = Command("stubborn", [sys.executable, "-c", STUBBORN], "http://127.0.0.1:9/", log)
    seen: list[str] = []
    async with aiohttp.ClientSession() as session:
        async with Stack(end_seconds=0.1) as stack:
            await stack.start(command)
            while not seen:
                with pytest.raises(DemoFailed):
                    await stack.wait_ready(command, session, 0.05, lambda _line: None)
                seen = [line for line in [last_line(log)] if line]
            pids = [*stack.pids(), int(seen[0])]
            assert all(map(is_alive, pids))
        await gone(pids)


def test_last_line_of_a_progress_bar(tmp_path: Path) -> None:
    """Carriage returns redraw a line."""
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_text("loading\n 10 %\r 20 %\r 30 %\r\n\n")
    assert last_line(log) == "30 %"


def test_free_port_is_free() -> None:
    """And not a well-known one."""
    assert free_port() > 1023
