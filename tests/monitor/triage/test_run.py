"""Triage of scripted targets: sick by input, sick under load, never sick."""

import asyncio
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.cli import app
from monitor.incidents.listing import as_line
from monitor.triage.conclusion import Cause
from monitor.triage.errors import CannotTriage
from monitor.triage.request_file import read_request
from monitor.triage.run import Triage, run_triage
from tests.fakes.target import Reply, Target
from tests.monitor.events import verdict
from tests.monitor.incidents.made import made

BODY = {"text": "say it", "sampling_params": {"max_new_tokens": 300, "temperature": 0.7}}
LOOP = "the answer is that " * 120
SOUND = {"foreign": 0, "stale": 0, "unready": 0, "derived": 0}


async def triage(make: Callable[[Target], Callable[[int], Reply]], trials: int = 16) -> Triage:
    async with Target() as target:
        target.reply = make(target)
        return await run_triage(target.address, BODY, trials=trials, at_once=4, settle_seconds=0.3)


def is_ours(target: Target) -> bool:
    return target.asked[-1].body.get("text") == BODY["text"]


async def test_one_that_fails_by_input() -> None:
    """The loop comes whatever else is going on."""

    def make(target: Target) -> Callable[[int], Reply]:
        return lambda _: Reply(text=LOOP if is_ours(target) else "b", sanitizer=SOUND)

    found = await triage(make)
    assert found.conclusion.cause is Cause.INPUT
    assert found.alone.counts.anomalous == found.alone.counts.sent == 16
    assert {trial.finding for trial in found.alone.trials} == {"repetition"}


async def test_one_that_fails_under_load_only() -> None:
    """Other requests came shortly before."""

    def make(target: Target) -> Callable[[int], Reply]:
        def reply(_: int) -> Reply:
            others = [asked for asked in target.asked if asked.body.get("text") != BODY["text"]]
            is_loaded = bool(others) and time.monotonic() - others[-1].at < 0.1
            text = LOOP if is_ours(target) and is_loaded else "b"
            return Reply(text=text, seconds=0.01)

        return reply

    found = await triage(make)
    assert found.conclusion.cause is Cause.LOAD
    assert found.loaded.counts.anomalous > 10
    assert found.alone.counts.anomalous < 5


async def test_one_whose_cache_is_wrong_says_so_itself() -> None:
    """The text is fluent: only the engine's record shows it."""

    def make(target: Target) -> Callable[[int], Reply]:
        return lambda n: Reply(sanitizer=SOUND | {"foreign": 3 * (n % 2)})

    found = await triage(make)
    assert found.conclusion.cause is Cause.CORRUPTION


async def test_one_that_never_fails() -> None:
    found = await triage(lambda _: lambda _: Reply(sanitizer=SOUND))
    assert found.conclusion.cause is Cause.NOT_SEEN
    assert "rarer than" in found.conclusion.unknown[0]
    assert not found.tells_numbers, "this target has no metrics"


async def test_a_request_that_is_refused_ends_it() -> None:
    with pytest.raises(CannotTriage, match=r"refuses the request \(400\)"):
        await triage(lambda _: lambda _: Reply(status=400))


async def test_a_target_that_only_fails_ends_it() -> None:
    with pytest.raises(CannotTriage, match="no whole answer"):
        await triage(lambda _: lambda _: Reply(is_cut=True), trials=2)


def test_the_request_comes_from_a_file_and_from_nowhere_else(tmp_path: Path) -> None:
    with pytest.raises(CannotTriage, match="no prompt is stored"):
        read_request(None)
    path = tmp_path / "body.json"
    path.write_text(json.dumps({"prompt": [1, 2], "max_tokens": 9, "temperature": 0.5}))
    assert read_request(path) == {
        "input_ids": [1, 2],
        "sampling_params": {"max_new_tokens": 9, "temperature": 0.5},
    }
    path.write_text(json.dumps({"messages": []}))
    with pytest.raises(CannotTriage, match="a chat has to be rendered"):
        read_request(path)
    path.write_text("nonsense")
    with pytest.raises(CannotTriage, match="not a JSON object"):
        read_request(path)


async def test_the_command_finds_an_incident_as_the_others_do(tmp_path: Path) -> None:
    """In a file too, by the beginning of its id, and with a score that JSON cannot hold: triage
    read incidents by itself and refused an infinite one.
    """
    incident = await made(verdict=verdict(score=math.inf))
    (tmp_path / "incidents.jsonl").write_text(as_line(incident) + "\n")
    (tmp_path / "body.json").write_text(json.dumps(BODY))
    async with Target() as target:
        target.reply = lambda _: Reply(text="b", sanitizer=SOUND)
        command = ["triage", incident.id[:-3], "--from", str(tmp_path / "incidents.jsonl")]
        command += ["--request", str(tmp_path / "body.json"), "--target", target.address]
        done = await asyncio.to_thread(CliRunner().invoke, app, [*command, "--trials", "2"])
    assert (done.exit_code, done.exception) == (0, None), done.output
    assert incident.id in done.output.replace("\n", "")
