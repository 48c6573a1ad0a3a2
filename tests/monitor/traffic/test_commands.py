"""``replay`` and ``anonymise`` from the command line, against a target on a socket."""

import asyncio
import gzip
import json
import signal
import sys
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from typer.testing import CliRunner

from monitor.cli import app
from monitor.traffic.reading import read_trace
from tests.fakes.target import TEMPLATE_TOKENS, Reply, Target

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})

TRACE = "".join(
    json.dumps(
        {
            "timestamp": 100 * n,
            "input_length": 700 + n,
            "output_length": 5 + n,
            "hash_ids": [0, 1 + n],
            "sampling": {"temperature": 0.25, "top_k": 7, "n": 2},
        }
    )
    + "\n"
    for n in range(20)
)


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "trace.jsonl"
    path.write_text(TRACE)
    return str(path)


async def replay(trace: str, target: Target, *options: str) -> dict[str, Any]:
    """Runs the command in a process of its own, as its users do."""
    status, out, error = await run("replay", trace, "--target", target.address, "--json", *options)
    assert (status, error) == (0, "")
    report: dict[str, Any] = json.loads(out)
    return report


async def run(*arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    return process.returncode, out.decode(), error.decode()


async def test_exact_lengths_shared_prefixes_times_and_settings(trace: str) -> None:
    async with Target() as target:
        report = await replay(trace, target, "--speed", "2")
        asked = target.replayed
    bodies = [one.body for one in asked]
    assert [len(body["input_ids"]) for body in bodies] == [700 + n for n in range(20)]
    assert len({tuple(body["input_ids"][:512]) for body in bodies}) == 1
    assert len({tuple(body["input_ids"][512:600]) for body in bodies}) == 20
    assert bodies[3]["sampling_params"] == {
        "temperature": 0.25,
        "top_k": 7,
        "ignore_eos": True,
        "max_new_tokens": 8,
    }
    due = [0.05 * n for n in range(20)]
    came = [one.at - asked[0].at for one in asked]
    late = [abs(a - b) for a, b in zip(came, due, strict=True)]
    assert median(late) < 0.25, "one may be held up by the machine, most are not"
    assert (report["answered"], report["failures"], report["input_ratio"]) == (20, {}, 1.0)
    assert report["output_tokens"] == sum(5 + n for n in range(20))
    assert report["lag_seconds"]["count"] == 20


async def test_chats_have_the_length_that_the_target_counts(trace: str) -> None:
    async with Target(is_native=False) as target:
        report = await replay(trace, target, "--speed", "50", "--no-ignore-eos")
        body = target.replayed[0].body
    assert report["input_ratio"] == pytest.approx(1, abs=0.01)
    # A busy machine may be late: that is told, and says nothing of lengths.
    assert [one for one in report["warnings"] if "keep up" not in one] == []
    assert TEMPLATE_TOKENS > 0
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("scripted", 5, 0.25)
    assert "ignore_eos" not in body
    assert "n" not in body


async def test_scale_limit_and_duration(trace: str) -> None:
    async with Target() as target:
        more = await replay(trace, target, "--speed", "50", "--concurrency-scale", "1.5")
        less = await replay(trace, target, "--speed", "50", "--limit", "7", "--duration", "0.01")
    assert more["answered"] == 30
    assert less["planned"] == 5


async def test_findings_causes_and_failures_of_a_sick_target(trace: str, tmp_path: Path) -> None:
    told = {"foreign": 4, "stale": 0, "unready": 0, "writers": ["req-9"]}
    replies = [
        Reply(comment="specwatch verdict=garbled attempts=2", sanitizer=told),
        Reply(headers={"x-specwatch-verdict": "repetition", "x-specwatch-attempts": "3"}),
        Reply(status=503),
        Reply(is_cut=True),
        Reply(error=True),
    ]
    path = tmp_path / "outcomes.jsonl"
    async with Target(lambda n: replies[n] if n < len(replies) else Reply()) as target:
        report = await replay(trace, target, "--speed", "20", "--outcomes", str(path))
    assert report["failures"] == {"cut": 1, "in_band": 1, "status 503": 1}
    assert {kind: one["count"] for kind, one in report["anomalies"].items()} == {
        "garbled": 1,
        "repetition": 1,
    }
    assert report["causes"]["foreign"]["count"] == 1
    assert (report["writers"], report["retried"]["count"]) == ({"req-9": 1}, 2)
    outcomes = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(one["number"] for one in outcomes) == list(range(20))


async def test_a_bound_on_what_runs_at_once_is_told(trace: str) -> None:
    async with Target(lambda _: Reply(seconds=0.1)) as target:
        options = ("--speed", "1000", "--max-in-flight", "2")
        report = await replay(trace, target, *options)
    assert (report["most_in_flight"], report["held"]) == (2, 18)
    assert any("--max-in-flight" in warning for warning in report["warnings"])


async def test_ctrl_c_ends_with_the_report_so_far(trace: str) -> None:
    async with Target(lambda n: Reply(seconds=60 if n >= 3 else 0)) as target:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "monitor", "replay", trace, "--json", "--speed", "4"),
            *("--target", target.address),
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            while len(target.asked) < 2 + 6:  # noqa: ASYNC110 (the fake has no event for it)
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGINT)
            out, _ = await process.communicate()
    report = json.loads(out)
    assert process.returncode == 0
    assert report["answered"] == 3
    assert report["interrupted"] >= 3
    assert report["interrupted"] + report["unsent"] == 17


async def test_status_1_when_nothing_was_answered(trace: str) -> None:
    async with Target(lambda _: Reply(status=500)) as target:
        status, out, _ = await run(
            "replay", trace, "--target", target.address, "--json", "--speed", "100"
        )
    assert (status, json.loads(out)["failures"]) == (1, {"status 500": 20})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay", "no.jsonl", "--target", "http://127.0.0.1:9"], "no.jsonl: cannot be read"),
        (["replay", "TRACE", "--target", "nonsense"], "not an address"),
        (["replay", "TRACE", "--target", "http://127.0.0.1:9"], "cannot be reached"),
        (["replay", "TRACE", "--target", "http://a", "--concurrency-scale", "0.01"], "no request"),
        (["replay", "TRACE", "--target", "http://a", "--text", "no.txt"], "--text no.txt"),
        (
            ["replay", "TRACE", "--target", "http://a", "--text", "t", "--api", "generate"],
            "takes texts",
        ),
        (["replay", "TRACE", "--target", "http://a", "--speed", "0"], "--speed"),
        (["anonymise", "no.jsonl", "--out", "x"], "no.jsonl: cannot be read"),
        (["anonymise", "TRACE", "--out", "/no/such/folder/x"], "cannot be written"),
    ],
)
def test_wrong_use_ends_with_status_2_and_one_line(
    trace: str, arguments: list[str], message: str
) -> None:
    result = runner.invoke(app, [trace if one == "TRACE" else one for one in arguments])
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


def test_anonymise_keeps_the_shape_and_nothing_else(tmp_path: Path) -> None:
    """Joined, sorted, hashes renumbered; words that are not ours are gone."""
    secret = "canary7f3a"
    names = []
    for n, clock in enumerate((1005.0, 1000.0)):
        line = {"timestamp": 0, "input_length": 600, "output_length": 3, "hash_ids": [987654, n]}
        line |= {"started_at": clock, "model": secret, "route": secret, "outcome": secret}
        line |= {"verdict": "garbled", "sampling": {"temperature": 1}, "prompt": secret}
        names.append(str(tmp_path / f"{n}.jsonl"))
        Path(names[-1]).write_text(json.dumps(line) + "\n")
    out = tmp_path / "share.jsonl.gz"
    result = runner.invoke(app, ["anonymise", *names, "--out", str(out)])
    assert result.exit_code == 0, result.output
    first, second = read_trace([str(out)])
    assert (second.at_seconds, first.blocks, second.blocks) == (5.0, (0, 1), (0, 2))
    assert (first.sampling, first.input_tokens) == ({"temperature": 1}, 600)
    assert first.record is not None
    assert (first.record.verdict, first.record.outcome, first.record.model) == (
        "garbled",
        None,
        None,
    )
    assert first.record.started_at is None
    assert secret not in gzip.decompress(out.read_bytes()).decode()


def test_record_is_serve_with_a_file() -> None:
    output = runner.invoke(app, ["record", "--help"]).output
    assert "--replica" in output
    result = runner.invoke(app, ["record", "/no/such/folder/t.jsonl", "--replica", "http://a"])
    assert result.exit_code == 1
    assert "record: " in str(result.exception) + result.output
