"""What the operating system and the event loop say about this process."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from monitor.beside import beside

_LAG_INTERVAL_SECONDS = 0.5
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_GROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def resident_bytes(statm: Path = Path("/proc/self/statm")) -> int | None:
    """Resident memory; ``None`` where the system does not tell it so."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(statm.read_text().split()[1]) * _PAGE_BYTES
    return None


def memory_limit_bytes(limits: tuple[Path, ...] = _GROUP_LIMITS) -> int:
    """The control group's limit, or the machine's memory if that is less or there is none."""
    machine = os.sysconf("SC_PHYS_PAGES") * _PAGE_BYTES
    for path in limits:
        with contextlib.suppress(OSError, ValueError):  # "max" is no number: no limit
            return min(machine, int(path.read_text()))
    return machine


@asynccontextmanager
async def measured_lag(tell: Callable[[float], None]) -> AsyncIterator[None]:
    """Tells, twice a second, by how many seconds the event loop was late."""
    async with beside(_measure_forever(tell)):
        yield


async def _measure_forever(tell: Callable[[float], None]) -> None:
    while True:
        due = time.monotonic() + _LAG_INTERVAL_SECONDS
        await asyncio.sleep(_LAG_INTERVAL_SECONDS)
        tell(max(0.0, time.monotonic() - due))
