"""``specwatch top``: what is on the screen, and a terminal that is as it was afterwards."""

import asyncio
import io
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from monitor.cli import app
from monitor.engine_metrics.names import Quantity
from monitor.engine_metrics.reading import Reading
from monitor.incidents.client import MonitorClient
from monitor.monitor import Monitor
from monitor.top.command import look_again, look_at
from monitor.top.reading import Look, Replica
from monitor.top.screen import View, screen
from monitor.top.window import Window
from retry_proxy.events import ReplicaState
from tests.monitor.events import REPLICA_A, REPLICA_B
from tests.monitor.fakes import FakeFleet, FakeReplica
from tests.monitor.incidents.made import fill, incident_id, serving

ROOT = Path(__file__).parents[3]
SICK = FakeReplica(REPLICA_B, ReplicaState.QUARANTINED, attempts=10, anomalies=4, in_flight=1234)
FLEET = FakeFleet(FakeReplica(REPLICA_A, attempts=50, in_flight=2), SICK)


def monitor() -> Monitor:
    """One that saw something."""
    seen = Monitor()
    fill(seen, 1)
    values = {Quantity.CACHE_USAGE: 0.97, Quantity.WAITING: 3.0}
    seen.engines.take(REPLICA_B, "sglang", Reading(values), time.monotonic())
    return seen


async def test_one_look_for_scripts() -> None:
    """Those in trouble first; streams, anomalies, acceptance, cache, incidents."""
    async with serving(monitor(), FLEET, "admin") as address:
        arguments = ["top", "--once", "--from", address, "--admin-key"]
        run = CliRunner().invoke
        result = await asyncio.to_thread(run, app, [*arguments, "admin"])
        refused = await asyncio.to_thread(run, app, [*arguments, "wrong"])
    assert result.exit_code == 0
    head, _, _, sick, healthy, *rest = result.output.splitlines()
    assert "1 of 2 replicas healthy, 1,236 streams" in head
    assert sick.split()[:3] == [REPLICA_B.removeprefix("http://"), "quarantined", "sglang"]
    assert "40.0 %" in sick
    assert "97 %" in sick
    assert healthy.split()[1] == "healthy"
    assert incident_id(1) in "\n".join(rest)
    assert refused.exit_code == 2
    assert "admin-key" in refused.output


def test_a_monitor_that_is_not_there() -> None:
    """In one sentence, status 2, and the terminal was never touched."""
    result = CliRunner().invoke(app, ["top", "--from", "http://127.0.0.1:1"])
    assert result.exit_code == 2
    assert "cannot be reached" in result.output
    assert result.output.count("\n") == 1


async def test_a_monitor_that_goes_away_meanwhile() -> None:
    """The last look stays, with what is wrong; it goes on when the monitor is back."""
    async with serving(monitor(), FLEET) as address:
        client = MonitorClient(address, timeout_seconds=20)
        look = await asyncio.to_thread(look_at, client, 0.0)
        view = View(address, look, Window())
    lost = await asyncio.to_thread(look_again, client, view)
    assert lost.look is look
    assert "not up to date" in shown(lost)
    assert REPLICA_B.removeprefix("http://") in shown(lost)


def shown(view: View) -> str:
    console = Console(file=io.StringIO(), width=120, color_system=None)
    console.print(screen(view))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("height", [5, 24, 50])
def test_many_replicas_fit_on_the_screen(height: int) -> None:
    """Those beyond its height are counted; foreign words do not steer the terminal."""
    replicas = [Replica(address=f"http://r{n:02d}\x1b[2J", state="healthy") for n in range(64)]
    replicas.append(Replica(address="http://last", state="tripped"))
    text = shown(View("http://m", Look(0.0, tuple(replicas)), Window(), height=height))
    lines = text.splitlines()
    assert len(lines) <= max(height, 9)
    assert lines[3].startswith("last")
    assert "\x1b" not in text


class Screen:
    """The command on a terminal of its own."""

    def __init__(self, address: str) -> None:
        self.outside, self.inside = pty.openpty()
        self.before = termios.tcgetattr(self.inside)
        arguments = ["top", "--from", address, "--refresh-seconds", "0.2"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "monitor", *arguments],
            stdin=self.inside,
            stdout=self.inside,
            stderr=self.inside,
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "140", "LINES": "30"},
            start_new_session=True,
        )
        self.seen = b""

    def read_until(self, wanted: bytes, seconds: float = 30.0) -> None:
        """Waits for it to be shown."""
        end = time.monotonic() + seconds
        while wanted not in self.seen:
            left = end - time.monotonic()
            assert left > 0, f"{wanted!r} was not shown: {self.seen[-2000:]!r}"
            if select.select([self.outside], [], [], min(left, 0.2))[0]:
                self.seen += os.read(self.outside, 65536)

    def press(self, keys: bytes) -> None:
        os.write(self.outside, keys)

    def terminate(self, _: bytes = b"") -> None:
        self.process.send_signal(signal.SIGTERM)

    def interrupt(self, _: bytes = b"") -> None:
        self.process.send_signal(signal.SIGINT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.inside)
        os.close(self.outside)


Leave = Callable[[Screen], None]
WAYS: dict[str, tuple[Leave, int]] = {
    "q": (lambda one: one.press(b"q"), 0),
    "escape": (lambda one: one.press(b"\x1b"), 0),
    "ctrl-c": (Screen.interrupt, 0),
    "sigterm": (Screen.terminate, 143),
}


@pytest.mark.parametrize(("leave", "status"), WAYS.values(), ids=WAYS)
async def test_the_terminal_is_left_as_it_was(leave: Leave, status: int) -> None:
    """However one leaves: echo and lines are back, so are the cursor and what was shown before."""

    def visit(address: str) -> None:
        one = Screen(address)
        try:
            one.read_until(b"\x1b[?1049h")
            one.read_until(b"quarantined")
            one.press(b"\x1b[Ax")  # an arrow and a letter are no wish to leave
            one.seen = b""
            one.read_until(b"of the last")  # it goes on looking
            assert one.process.poll() is None
            leave(one)
            one.read_until(b"\x1b[?1049l")
            one.read_until(b"\x1b[?25h")
            assert one.process.wait(30) == status
            assert termios.tcgetattr(one.inside) == one.before
        finally:
            one.close()

    async with serving(monitor(), FLEET) as address:
        await asyncio.to_thread(visit, address)
