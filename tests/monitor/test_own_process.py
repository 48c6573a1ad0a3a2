"""Memory, its limit, and the event loop's lag."""

import asyncio
import time
from pathlib import Path

from monitor.own_process import measured_lag, memory_limit_bytes, resident_bytes


def test_this_process_has_a_size_under_its_limit() -> None:
    resident = resident_bytes()
    assert resident is not None
    assert 5_000_000 < resident < memory_limit_bytes()


def test_a_system_that_does_not_tell_is_no_zero(tmp_path: Path) -> None:
    """No file, or another one than expected."""
    assert resident_bytes(tmp_path / "nothing") is None
    odd = tmp_path / "statm"
    odd.write_text("what")
    assert resident_bytes(odd) is None


def test_the_group_s_limit_counts_where_it_is_one(tmp_path: Path) -> None:
    """``max`` is none, and no limit is more than the machine has."""
    limit = tmp_path / "memory.max"
    machine = memory_limit_bytes(())
    limit.write_text("1000000\n")
    assert memory_limit_bytes((tmp_path / "nothing", limit)) == 1_000_000
    limit.write_text("max\n")
    assert memory_limit_bytes((limit,)) == machine
    limit.write_text(f"{machine * 4}\n")
    assert memory_limit_bytes((limit,)) == machine


async def test_a_blocked_loop_is_seen() -> None:
    """Something that does not wait holds all streams up, and the measure tells by how much."""
    told: list[float] = []
    async with measured_lag(told.append):
        await asyncio.sleep(0.35)
        time.sleep(0.4)  # noqa: ASYNC251 (the fault that is measured)
        await asyncio.sleep(0.1)
    assert len(told) == 1
    assert 0.2 < told[0] < 0.5
