"""The launcher's command line: which replica is given which flags."""

import asyncio
import sys

import pytest

from inference_backend.disaggregation import __main__ as launcher
from inference_backend.disaggregation.__main__ import build_parser, flags_of, run
from inference_backend.disaggregation.supervision import Lives, Replica, Supervised, stop


def test_flags_of_one_role_go_to_that_role_alone() -> None:
    """And after those of every replica, so that they win."""
    options = build_parser().parse_args(
        [
            *("--prefill", "2", "--prefill-flag=--attention=sparse"),
            *("--prefill-flag=--kv-tokens=64", "--decode-flag=--abort-protocol=unsafe"),
            *("--", "--kv-tokens", "32"),
        ]
    )
    assert flags_of(options, "prefill") == [
        *("--kv-tokens", "32", "--attention=sparse", "--kv-tokens=64")
    ]
    assert flags_of(options, "decode") == ["--kv-tokens", "32", "--abort-protocol=unsafe"]
    command = Replica("decode", 31000, 31001).command(flags_of(options, "decode"))
    assert command[-3:] == ["--kv-tokens", "32", "--abort-protocol=unsafe"]


def test_a_replica_that_ends_again_and_again_is_given_up() -> None:
    """A long life in between shows that it can be started."""
    lives = Lives()
    assert [lives.ended(1.0), lives.ended(1.0)] == [True, True]
    assert lives.ended(3600.0)
    assert [lives.ended(1.0) for _ in range(3)] == [True, True, False]


async def test_a_killed_replica_is_started_again() -> None:
    replica = Supervised(
        Replica("decode", 31000, 31001), [sys.executable, "-c", "import time; time.sleep(600)"]
    )
    await replica.start()
    first = replica.process
    assert first is not None
    keeping = asyncio.ensure_future(replica.keep())
    try:
        first.kill()
        async with asyncio.timeout(20):
            while replica.process is first:  # noqa: ASYNC110  # a process is waited for
                await asyncio.sleep(0.01)
        assert replica.is_running
    finally:
        keeping.cancel()
        await stop([replica])
    assert not replica.is_running


async def test_replicas_that_are_never_ready_are_ended_in_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launcher, "START_SECONDS", 0.5)
    silent = [sys.executable, "-c", "import time; time.sleep(600)"]
    made: list[Replica] = []

    def command(replica: Replica, _: list[str]) -> list[str]:
        made.append(replica)
        return silent

    monkeypatch.setattr(Replica, "command", command)
    assert await run(build_parser().parse_args(["--port", "0"])) == 1
    assert [one.role for one in made] == ["prefill", "decode"]
    assert "not all replicas were ready after 0.5 s" in capsys.readouterr().err
