"""Replica processes: started, stopped, and started again when they end by themselves."""

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

HOST = "127.0.0.1"
STOP_SECONDS = 35.0
RESTART_SECONDS = 1.0
SHORT_LIFE_SECONDS = 30.0
MOST_SHORT_LIVES = 3


@dataclass(frozen=True, slots=True)
class Replica:
    """A replica to start."""

    role: str
    port: int
    bootstrap_port: int

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def command(self, flags: Sequence[str]) -> list[str]:
        return [
            *(sys.executable, "-m", "inference_backend", "--role", self.role),
            *("--host", HOST, "--port", str(self.port)),
            *("--bootstrap-port", str(self.bootstrap_port)),
            *flags,
        ]


@dataclass(slots=True)
class Lives:
    """Whether a process that ended is worth another start. Pure."""

    short: int = 0

    def ended(self, seconds: float) -> bool:
        """It lived so long; ``False``: again and again too short."""
        self.short = self.short + 1 if seconds < SHORT_LIFE_SECONDS else 0
        return self.short < MOST_SHORT_LIVES


@dataclass(slots=True)
class Supervised:
    """One replica's process, at the same ports whenever it is started again.

    A peer that comes back is taken in by a new connection; what was lent to the dead one stays
    retired.
    """

    replica: Replica
    command: Sequence[str]
    process: asyncio.subprocess.Process | None = None
    lives: Lives = field(default_factory=Lives)

    async def start(self) -> None:
        """In a session of its own: what Ctrl-C ended would be started again."""
        self.process = await asyncio.create_subprocess_exec(*self.command, start_new_session=True)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def keep(self) -> None:
        """Returns when it is not worth another start."""
        while True:
            assert self.process is not None
            started = time.monotonic()
            status = await self.process.wait()
            place = f"the {self.replica.role} on port {self.replica.port}"
            if not self.lives.ended(time.monotonic() - started):
                print(f"error: {place} ends again and again (status {status})", file=sys.stderr)
                return
            print(f"{place} ended (status {status}) and is started again", file=sys.stderr)
            await asyncio.sleep(RESTART_SECONDS)
            await self.start()


async def stop(replicas: Sequence[Supervised]) -> None:
    """SIGTERM to all, SIGKILL to those that do not listen."""
    running = [each.process for each in replicas if each.process is not None and each.is_running]
    for process in running:
        process.send_signal(signal.SIGTERM)
    waits = [asyncio.ensure_future(process.wait()) for process in running]
    if waits:
        await asyncio.wait(waits, timeout=STOP_SECONDS)
    for process in running:
        if process.returncode is None:
            process.kill()
            await process.wait()
