"""Real servers as children: started on free ports, waited for, always ended."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

READY_SECONDS = 30.0
END_SECONDS = 10.0
STOP_SECONDS = 120.0


def free_port() -> int:
    """Below the range that the system hands out by itself."""
    for port in range(21000 + os.getpid() % 5000, 32000):
        if port in _taken:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _taken.add(port)
            return port
    raise AssertionError("no free port")


_taken: set[int] = set()


class Children:
    """Processes that end with the test, whatever happens."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        ready: Callable[[], bool],
        ready_seconds: float = READY_SECONDS,
    ) -> None:
        """Starts and waits; a death or a time-out shows the end of its log."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=Path(__file__).parents[2],
            )
        self._running.append((name, child))
        give_up_at = time.monotonic() + ready_seconds
        while not ready():
            tail = log.read_text(errors="replace")[-2000:]
            assert child.poll() is None, f"{name} ended with {child.returncode}:\n{tail}"
            assert time.monotonic() < give_up_at, f"{name} is not ready:\n{tail}"
            time.sleep(0.05)
        assert child.poll() is None, f"{name} ended: another one answers in its place"

    def kill(self, name: str) -> None:
        """As a machine that fails."""
        child = self._take(name)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()

    def stop(self, name: str) -> int:
        """As an operator does, with patience; its exit status."""
        child = self._take(name)
        os.killpg(child.pid, signal.SIGTERM)
        try:
            return child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            return child.wait()

    def _take(self, name: str) -> subprocess.Popen[bytes]:
        """It is no longer ours to end."""
        place = next(n for n, (called, _) in enumerate(self._running) if called == name)
        return self._running.pop(place)[1]

    def end(self) -> None:
        """The last one first: asked, then made to."""
        for _, child in reversed(self._running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
        for _, child in reversed(self._running):
            try:
                child.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def answers(url: str) -> Callable[[], bool]:
    """Whether it is there and says 200."""

    def ask() -> bool:
        try:
            return httpx.get(url, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    return ask


def listens(port: int) -> Callable[[], bool]:
    """Whether connections are taken."""

    def ask() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return ask
