"""The whole demo, with the real proxy in front of replicas that have no model."""

import asyncio
import os
import signal
import sys
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FAKE_DEMO = ROOT / "tests" / "fakes" / "demo.py"
MARK = "SPECWATCH_TEST_MARK"


async def start(mark: str, *arguments: str) -> asyncio.subprocess.Process:
    """The demo as its own process; all that it starts carries ``mark`` in its environment."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(FAKE_DEMO),
        *arguments,
        cwd=ROOT,
        env={**os.environ, MARK: mark, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


def marked_processes(mark: str) -> list[str]:
    """Running processes that carry ``mark``."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("proxy_flags", "status", "sentence"),
    [
        ((), 0, "none of them ended on damaged cache"),
        (("--max-attempts", "1"), 1, "Not good"),
    ],
    ids=["protected", "not protected"],
)
async def test_the_exit_status_tells_whether_the_protection_held(
    proxy_flags: tuple[str, ...], status: int, sentence: str
) -> None:
    """The table shows both phases; nothing runs afterwards."""
    mark = uuid.uuid4().hex
    process = await start(mark, "8", *proxy_flags)
    output, _ = await process.communicate()
    text = " ".join(output.decode().split())
    assert process.returncode == status, text
    assert sentence in text
    assert "answers that ended on damaged cache" in text
    assert "specwatch incidents --from http://127.0.0.1:" in text
    assert marked_processes(mark) == []


async def until(process: asyncio.subprocess.Process, text: bytes) -> None:
    """Read the demo's output up to ``text``."""
    assert process.stdout is not None
    while text not in await process.stdout.readline():
        assert process.returncode is None


async def test_a_signal_in_the_middle_ends_every_process() -> None:
    """Nothing is left behind; a second signal does no harm."""
    mark = uuid.uuid4().hex
    process = await start(mark, "500")
    await until(process, b"replica 2 is ready")
    assert len(marked_processes(mark)) == 3
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    output, _ = await process.communicate()
    assert process.returncode == 130, output
    assert b"every process was ended" in output
    assert b"Traceback" not in output
    assert marked_processes(mark) == []


async def test_all_is_kept_until_ctrl_c_if_asked_for() -> None:
    """The result is the exit status all the same."""
    mark = uuid.uuid4().hex
    process = await start(mark, "8", "--keep")
    await until(process, b"Ctrl-C ends it")
    assert len(marked_processes(mark)) == 4
    process.send_signal(signal.SIGINT)
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    assert marked_processes(mark) == []
