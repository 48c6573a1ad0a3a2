"""A killed test run leaves no engine behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines.running import end, start_tethered

SECONDS = 20.0
# An engine with a child of its own, as vLLM has; neither ends by itself.
ENGINE = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("up", flush=True)
time.sleep(600)
"""
STARTER = f"""
import sys, time
from tests.engines.running import start_tethered
start_tethered([sys.executable, "-c", {ENGINE!r}], None, {{}})
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_killed_starter_started_ends(number: signal.Signals) -> None:
    """All of them hold the pipe that is read here; it ends when the last of them has."""
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", STARTER], stdout=subprocess.PIPE, cwd=root) as own:
        assert own.stdout is not None
        assert own.stdout.readline() == b"up\n"
        os.kill(own.pid, number)
        assert own.communicate(timeout=SECONDS)[0] == b""
        assert own.returncode == -number


def test_the_end_takes_children_along(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as output, os.fdopen(reading, "rb") as told:
        process = start_tethered([sys.executable, "-c", ENGINE], output, {})
        output.close()
        assert told.readline() == b"up\n"
        end(process)
        assert told.read() == b""
    assert process.returncode is not None
