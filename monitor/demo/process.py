"""The demo's child processes: each in a session of its own, watched as it starts, always ended."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from monitor.errors import DemoFailed

POLL_SECONDS = 0.1
END_SECONDS = 8.0
LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class Command:
    """One child and how to tell that it is ready."""

    name: str
    arguments: Sequence[str]
    ready_url: str
    log: Path


def free_port() -> int:
    """A port of this machine that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def last_line(log: Path) -> str:
    """The newest line of a log; a progress bar redraws its line with carriage returns."""
    try:
        tail = log.read_bytes()[-2000:]
    except FileNotFoundError:
        return ""
    lines = tail.decode(errors="replace").replace("\r", "\n").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def log_tail(log: Path) -> str:
    """The end of a log, for an error message."""
    lines = log.read_text(errors="replace").replace("\r", "\n").splitlines()
    return "\n".join(f"  | {line}" for line in lines[-LOG_TAIL_LINES:])


class Stack:
    """The running children. Leaving it ends all of them, whatever happened.

    Args:
        end_seconds: how long a child may take to end by itself when asked.
    """

    def __init__(self, end_seconds: float = END_SECONDS) -> None:
        self.end_seconds = end_seconds
        self._children: dict[str, asyncio.subprocess.Process] = {}

    async def __aenter__(self) -> "Stack":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end_all()

    def pids(self) -> list[int]:
        """The children's process ids."""
        return [child.pid for child in self._children.values()]

    def child(self, name: str) -> asyncio.subprocess.Process:
        """One child."""
        return self._children[name]

    async def start(self, command: Command) -> None:
        """Start one child; its output goes to its log."""
        with command.log.open("wb") as log:
            self._children[command.name] = await asyncio.create_subprocess_exec(
                *command.arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )

    async def wait_ready(
        self,
        command: Command,
        session: aiohttp.ClientSession,
        timeout_seconds: float,
        tell: Callable[[str], None],
    ) -> None:
        """Poll until the child answers 200; ``tell`` hears the newest line of its log.

        Raises:
            DemoFailed: it died or took too long; the message shows the end of its log.
        """
        give_up_at = time.monotonic() + timeout_seconds
        while not await _answers(session, command.ready_url):
            self.check(command)
            if time.monotonic() >= give_up_at:
                raise DemoFailed(
                    f"{command.name} was not ready after {timeout_seconds:.0f} s:\n"
                    f"{log_tail(command.log)}"
                )
            tell(last_line(command.log))
            await asyncio.sleep(POLL_SECONDS)

    def check(self, command: Command) -> None:
        """Raise if the child has died.

        Raises:
            DemoFailed: with the end of its log.
        """
        status = self._children[command.name].returncode
        if status is not None:
            raise DemoFailed(f"{command.name} ended with status {status}:\n{log_tail(command.log)}")

    async def end_all(self) -> None:
        """Ask every child to end, then make it. Also ends what a child has started."""
        for child in self._children.values():
            _signal_group(child.pid, signal.SIGTERM)
        waits = [asyncio.create_task(child.wait()) for child in self._children.values()]
        try:
            if waits:
                await asyncio.wait(waits, timeout=self.end_seconds)
        finally:
            for child in self._children.values():
                _signal_group(child.pid, signal.SIGKILL)
        await asyncio.gather(*waits)
        self._children.clear()


def _signal_group(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
