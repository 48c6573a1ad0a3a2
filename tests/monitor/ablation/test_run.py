"""Whole runs against scripted engines in processes of their own."""

import asyncio
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from monitor.ablation.command import ablate
from monitor.ablation.errors import FleetFailed
from monitor.ablation.fleet import Launch
from monitor.ablation.grid import AbortProtocol, Cell, Load, LoadSync, Ratio
from monitor.ablation.progress import Progress
from monitor.ablation.run import Ablation, RunOptions
from monitor.cli import app

FAST = Load("heavy", 400.0)
CELLS = [Cell(protocol, LoadSync.FULL, Ratio(1, 1), FAST) for protocol in AbortProtocol]


def scripted(kinds: dict[AbortProtocol, str], started: list[Cell]) -> Launch:
    """Engines of ``tests.fakes.ablated``; by default well."""

    def launch(cell: Cell, port: int) -> list[str]:
        started.append(cell)
        kind = kinds.get(cell.protocol, "usual")
        return [sys.executable, "-m", "tests.fakes.ablated", str(port), kind]

    return launch


def children() -> list[int]:
    """Processes that are ours and run."""
    found = Path(f"/proc/self/task/{threading.get_native_id()}/children").read_text()
    return [int(pid) for pid in found.split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_grid_in_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    """The cells take turns; every planned request is in its row; nothing is left."""
    started: list[Cell] = []
    before = children()
    options = RunOptions(requests=40, rounds=2)
    status = ablate(CELLS, options, scripted({}, started), is_json=True)
    assert status == 0
    assert started == [*CELLS, *reversed(CELLS)]
    rows = json.loads(capsys.readouterr().out)["cells"]
    assert [row["abort_protocol"] for row in rows] == ["unsafe", "confirm"]
    for row in rows:
        assert (row["requests"], row["answered"], row["given_up"]) == (40, 32, 4)
        assert (row["failures"], row["missing"], row["told"]) == ({"cut": 4}, 0, 32)
        assert row["corrupted"]["count"] == 8
        causes = {name: one["count"] for name, one in row["causes"].items()}
        assert causes == {"foreign": 4, "unready": 4}
        assert row["found"][0]["kind"] == "repetition"
        assert (row["anomalous"]["count"], row["caught"]) == (4, 4)
    assert children() == before


def test_a_cold_engine_is_asked_again(capsys: pytest.CaptureFixture[str]) -> None:
    """On a CPU the first request was later than its budget, and the run ended before it began."""
    launch = scripted({AbortProtocol.UNSAFE: "cold"}, [])
    assert ablate(CELLS[:1], RunOptions(requests=10), launch, is_json=True) == 0
    assert json.loads(capsys.readouterr().out)["cells"][0]["corrupted"]["count"] == 2


def test_an_engine_that_does_not_start(capsys: pytest.CaptureFixture[str]) -> None:
    """Its message is shown, the rows so far too; its own children are ended as well."""
    launch = scripted({AbortProtocol.CONFIRM: "fail"}, [])
    before = children()
    assert ablate(CELLS, RunOptions(requests=10), launch, is_json=True) == 2
    shown = capsys.readouterr()
    assert [row["abort_protocol"] for row in json.loads(shown.out)["cells"]] == ["unsafe"]
    assert "the engine of confirm, full, 1:1, heavy ended with status 1" in shown.err
    assert "error: no such model" in shown.err
    pid = re.search(r"child (\d+)", shown.err)
    assert pid is not None
    give_up_at = time.monotonic() + 5
    while is_alive(int(pid[1])) and time.monotonic() < give_up_at:
        time.sleep(0.005)  # killed; who is not our own child cannot be waited for
    assert not is_alive(int(pid[1]))
    assert children() == before


def test_an_engine_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    launch: Callable[[Cell, int], list[str]] = lambda cell, port: ["/nowhere/engine"]  # noqa: E731
    assert ablate(CELLS, RunOptions(requests=10), launch, is_json=False) == 2
    assert "/nowhere/engine" in capsys.readouterr().err


async def test_an_engine_that_dies_meanwhile_ends_the_run() -> None:
    """What was counted before stays."""
    launch = scripted({AbortProtocol.UNSAFE: "die"}, [])
    with Progress(Console(quiet=True), 2) as progress:
        ablation = Ablation(CELLS, RunOptions(requests=2000), launch, progress)
        with pytest.raises(FleetFailed, match="ended with status 3"):
            await ablation.run()
    assert ablation.tallies[CELLS[0]].answered <= 4
    assert ablation.tallies[CELLS[1]].requests == 0


async def test_ctrl_c_gives_the_table_so_far_and_ends_the_engine() -> None:
    """One SIGINT in the middle of a load that would take an hour."""
    started: list[Cell] = []
    before = children()
    slow = [Cell(AbortProtocol.UNSAFE, LoadSync.FULL, Ratio(1, 1), Load("slow", 20.0)), *CELLS]
    with Progress(Console(quiet=True), 3) as progress:
        ablation = Ablation(slow, RunOptions(requests=72_000), scripted({}, started), progress)
        run = asyncio.ensure_future(ablation.run())
        async with asyncio.timeout(30):
            while progress.ended_requests < 5:  # noqa: ASYNC110 (an engine's work, no event of ours)
                await asyncio.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
            await run
    tally = ablation.tallies[slow[0]]
    assert 5 <= tally.requests < 1000
    assert tally.requests + tally.missing == 72_000
    assert started == slow[:1]
    assert children() == before


def test_dry_run_shows_the_cells_and_starts_nothing() -> None:
    before = children()
    flags = ["--dry-run", "--load-sync", "full", "--ratio", "3:2", "--load", "peak=4x2"]
    shown = CliRunner().invoke(app, ["ablate", *flags], env={"COLUMNS": "150"})
    assert shown.exit_code == 0
    assert shown.output.count("3:2") == 2
    assert "2 cells, 400 requests" in shown.output
    assert children() == before


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ratio", "x"], "PREFILLS:DECODES"),
        (["--load", "heavy"], "NAME=RATE"),
        (["--load", "a=1", "--load", "a=2"], "same name"),
        (["--text", "/nowhere"], "No such file"),
    ],
)
def test_bad_input_is_told_in_a_line(flags: list[str], message: str) -> None:
    shown = CliRunner().invoke(app, ["ablate", "--dry-run", *flags])
    assert shown.exit_code == 2
    assert message in shown.output
