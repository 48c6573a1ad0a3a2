"""A proxy of the fault matrix as a process: started, and stopped with its children."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.fault_proxies import Proxy, Setting

_GRACE_SECONDS = 1.0
_KILL_SECONDS = 5.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(proxy: Proxy, setting: Setting) -> AsyncIterator[subprocess.Popen[bytes]]:
    """The proxy's process; what it prints goes to ``output`` in the folder."""
    process = _start(proxy, setting)
    try:
        yield process
    finally:
        await asyncio.to_thread(_stop, process)


def _start(proxy: Proxy, setting: Setting) -> subprocess.Popen[bytes]:
    program = shutil.which(proxy.program) or proxy.program
    with (setting.folder / "output").open("wb") as log:
        return subprocess.Popen(
            [program, *proxy.command(setting)],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """It and its children (nginx's worker, say) are a group of their own, named by its id."""
    for number, seconds in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, _KILL_SECONDS)):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
        except ProcessLookupError:
            break  # nobody of the group is left
        except subprocess.TimeoutExpired:
            continue
    process.wait(_KILL_SECONDS)
