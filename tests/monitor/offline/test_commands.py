"""The commands as a shell sees them: output, errors, exit status."""

import gzip
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from detectors.fusion.weights import packaged_weights
from monitor.offline.baselines import read_baselines
from monitor.offline.commands import register
from monitor.offline.scan import VERDICT_FIELDS

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
app = typer.Typer()
register(app)

LOOP = "It began well, with a plan and a list. " + "Then the same line came again. " * 60
FINE = "It began well, with a plan and a list, and it ended there."
HEALTHY_STEPS = [2, 0, 1, 3, 1, 2, 0, 2, 1, 1] * 8


def write_lines(path: Path, *records: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def lessons(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Healthy recordings, none like the other."""
    return [
        {
            "id": number,
            "text": FINE,
            "model": "some-model",
            "engine": "sglang",
            "num_drafts": 3,
            "accepted_per_step": HEALTHY_STEPS[number % 10 :],
            **fields,
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("command", ["scan", "calibrate", "evaluate"])
def test_help_teaches_with_examples(command: str) -> None:
    """And tells the fields of a recording."""
    output = runner.invoke(app, [command, "--help"]).output
    assert f"specwatch {command} " in output
    assert "accepted_per_step" in output


def test_scan_json_is_one_object_a_record_and_nothing_else(tmp_path: Path) -> None:
    """The id as it was given; every field of the verdict, no other."""
    path = write_lines(tmp_path / "a.jsonl", {"id": 7, "text": FINE}, {"id": "b", "text": LOOP})
    result = runner.invoke(app, ["scan", "--json", path])
    assert result.exit_code == 0
    fine, loop = map(json.loads, result.stdout.splitlines())
    assert fine == {"id": 7, "verdict": None}
    assert set(loop) == {"id", "verdict"}
    assert loop["id"] == "b"
    assert tuple(loop["verdict"]) == VERDICT_FIELDS
    assert loop["verdict"]["kind"] == "repetition"
    assert loop["verdict"]["onset_token"] < loop["verdict"]["alarm_token"]
    assert loop["verdict"]["reason"]
    assert "2 records" in result.stderr
    assert result.stdout.splitlines()[0] == '{"id":7,"verdict":null}'


def test_scan_shows_finding_place_and_summary(tmp_path: Path) -> None:
    """Clean records only on demand."""
    path = write_lines(tmp_path / "a.jsonl", {"id": "a", "text": FINE}, {"id": "b", "text": LOOP})
    output = runner.invoke(app, ["scan", path]).output
    assert "b  repetition" in output
    assert "the same line came again" in output
    assert "1 with a finding (1 repetition)" in output
    assert "clean" not in output
    assert "a  clean" in runner.invoke(app, ["scan", "--all", path]).output


@pytest.mark.parametrize(("flags", "status"), [([], 0), (["--fail-on-finding"], 1)])
def test_scan_status_on_a_finding(tmp_path: Path, flags: list[str], status: int) -> None:
    """A finding is no error unless one says so."""
    (tmp_path / "loop.txt").write_text(LOOP, encoding="utf-8")
    assert runner.invoke(app, ["scan", *flags, str(tmp_path / "loop.txt")]).exit_code == status


def test_scan_reads_standard_input_and_several_files(tmp_path: Path) -> None:
    """In the order given."""
    path = write_lines(tmp_path / "a.jsonl", {"id": "a", "text": FINE})
    piped = json.dumps({"id": "piped", "text": FINE})
    result = runner.invoke(app, ["scan", "--json", path, "-"], input=piped)
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["a", "piped"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b'{"id": "a", "text": "fine"}\n{broken', "some.jsonl:2: not JSON"),
        (
            b'{"id": "a", "text": "fine"}\n{"id": "b"}',
            "neither text, token_ids nor accepted_per_step",
        ),
    ],
)
@pytest.mark.parametrize("command", ["scan", "calibrate", "evaluate"])
def test_bad_input_ends_with_status_2_and_one_line(
    tmp_path: Path, command: str, content: bytes, told: str
) -> None:
    """No traceback; a finding before it was told."""
    path = tmp_path / "some.jsonl"
    path.write_bytes(content)
    result = runner.invoke(app, [command, str(path)])
    assert result.exit_code == 2
    assert told in result.stderr
    assert "Traceback" not in result.output


def test_an_empty_file_is_scanned_and_said_to_be_empty(tmp_path: Path) -> None:
    """But nothing can be learned from it, or measured."""
    path = write_lines(tmp_path / "empty.jsonl")
    result = runner.invoke(app, ["scan", path])
    assert result.exit_code == 0
    assert "no record" in result.output
    assert runner.invoke(app, ["calibrate", path]).exit_code == 2
    assert runner.invoke(app, ["evaluate", path]).exit_code == 2


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    """A text, and an id, may hold escape sequences."""
    nasty = "\x1b[2J\x1b]0;title\x07" + LOOP
    path = write_lines(tmp_path / "a.jsonl", {"id": "a\x1b[1m", "text": nasty})
    assert "\x1b" not in runner.invoke(app, ["scan", "--all", path]).output


def test_markup_in_a_text_is_shown_as_it_is(tmp_path: Path) -> None:
    """Square brackets are text."""
    path = write_lines(tmp_path / "a.jsonl", {"id": "[red]a[/nope]", "text": "[/b] " + LOOP})
    assert "[red]a[/nope]" in runner.invoke(app, ["scan", path]).output


def test_a_drafter_that_is_dead_for_everyone_is_one_finding(tmp_path: Path) -> None:
    """Fine text and no accepted drafts: the replica is told of, none of its answers."""
    dead = lessons(40, accepted_per_step=[0] * 80, drafted_per_step=[3] * 80)
    result = runner.invoke(app, ["scan", "--json", write_lines(tmp_path / "a.jsonl", *dead)])
    assert all(json.loads(line)["verdict"] is None for line in result.stdout.splitlines())
    assert "replica finding: the drafter of some-model, sglang looks dead" in result.stderr


def test_calibrate_learns_and_says_from_how_much(tmp_path: Path) -> None:
    """The file can be used at once; a second model is added to it."""
    out = tmp_path / "baselines.json"
    path = write_lines(tmp_path / "a.jsonl", *lessons(60))
    result = runner.invoke(app, ["calibrate", path, "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "some-model on sglang, 3 drafts a step: 60 requests" in result.output
    assert "warning" not in result.output
    other = write_lines(tmp_path / "b.jsonl", *lessons(10, model="other"))
    assert "only 10 requests" in runner.invoke(app, ["calibrate", other, "--out", str(out)]).output
    assert {one.model for one in read_baselines(out)} == {"some-model", "other"}
    assert runner.invoke(app, ["scan", path, "--baseline", str(out)]).exit_code == 0


def test_sick_recordings_never_teach(tmp_path: Path) -> None:
    """Those marked, and those the panel flags; what is left out is told."""
    path = write_lines(
        tmp_path / "a.jsonl",
        *lessons(3),
        *lessons(2, fault="noise", onset_token=5),
        *lessons(1, fault="noise"),
        *lessons(4, text=LOOP),
        {"text": FINE},
    )
    output = runner.invoke(app, ["calibrate", path]).output
    assert "3 requests" in output
    assert "3 marked as damaged" in output
    assert "4 flagged by the panel" in output
    assert "1 without accepted_per_step" in output


@pytest.mark.parametrize("content", ["{", "[]", '{"baselines": [{"model": "a"}]}'])
def test_a_file_that_holds_no_baselines_is_refused(tmp_path: Path, content: str) -> None:
    """And not overwritten."""
    wrong = tmp_path / "wrong.json"
    wrong.write_text(content, encoding="utf-8")
    path = write_lines(tmp_path / "a.jsonl", *lessons(3))
    for arguments in (["scan", path, "--baseline"], ["calibrate", path, "--out"]):
        result = runner.invoke(app, [*arguments, str(wrong)])
        assert result.exit_code == 2
        assert "no file of baselines" in result.stderr
    assert wrong.read_text("utf-8") == content


@pytest.mark.parametrize("arguments", [[], ["--proxy", "http://127.0.0.1:1", "a.jsonl"]])
def test_calibrate_wants_recordings_or_a_proxy(arguments: list[str]) -> None:
    """Exactly one of them."""
    result = runner.invoke(app, ["calibrate", *arguments])
    assert result.exit_code == 2
    assert "give recordings, or --proxy URL" in result.stderr


def test_evaluate_json_holds_every_figure(tmp_path: Path) -> None:
    """With a table for people, and one object for scripts."""
    path = tmp_path / "a.jsonl.gz"
    records = [
        {"id": "a", "text": FINE, "label": "good"},
        {"id": "b", "text": LOOP, "label": "repetition", "onset_char": 70},
    ]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, records)).encode()))
    result = runner.invoke(app, ["evaluate", str(path), "--json"])
    figures = json.loads(result.stdout)
    assert figures["records"] == 2
    recall = figures["detectors"]["panel"]["groups"]["repetition"]["recall"]
    assert (recall["events"], recall["trials"]) == (1, 1)
    table = runner.invoke(app, ["evaluate", str(path), "--by", "label"]).stdout
    assert "panel" in table
    assert "vLLM cycle" in table


def test_evaluate_refuses_what_it_cannot_group_by(tmp_path: Path) -> None:
    """And names what it can."""
    path = write_lines(tmp_path / "a.jsonl", {"text": FINE})
    result = runner.invoke(app, ["evaluate", path, "--by", "colour"])
    assert result.exit_code == 2
    assert "choose from class, temperature" in result.stderr


def test_unlabelled_recordings_are_told_of(tmp_path: Path) -> None:
    """They are taken for healthy."""
    path = write_lines(tmp_path / "a.jsonl", {"text": FINE})
    result = runner.invoke(app, ["evaluate", path, "--no-rivals", "--json"])
    assert "1 records have neither fault nor label" in result.stderr
    assert json.loads(result.stdout)["unlabelled"] == 1


@contextmanager
def serving(pages: dict[str, Any], key: str | None = None) -> Iterator[str]:
    """A proxy that answers ``/api/acceptance?since=N`` from ``pages``, to holders of the key."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = pages.get(self.path)
            is_allowed = key is None or self.headers["authorization"] == f"Bearer {key}"
            self.send_response(401 if not is_allowed else 404 if page is None else 200)
            self.end_headers()
            self.wfile.write(json.dumps(page).encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_calibrate_learns_from_a_running_proxy() -> None:
    """Each attempt once, until there are enough."""
    pages = {
        "/api/acceptance?since=0": {"attempts": lessons(4), "next": 4},
        "/api/acceptance?since=4": {"attempts": lessons(4), "next": 8},
    }
    with serving(pages) as proxy:
        result = runner.invoke(app, ["calibrate", "--proxy", proxy, "--requests", "6"])
    assert result.exit_code == 0, result.output
    assert "6 requests" in result.output


def test_calibrate_shows_the_admin_key() -> None:
    """Where the proxy has one, acceptance is behind it."""
    pages = {"/api/acceptance?since=0": {"attempts": lessons(4), "next": 4}}
    with serving(pages, key="secret") as proxy:
        command = ["calibrate", "--proxy", proxy, "--requests", "4"]
        without = runner.invoke(app, command)
        result = runner.invoke(app, command, env={"SPECWATCH_ADMIN_KEY": "secret"})
    assert (without.exit_code, result.exit_code) == (2, 0)
    assert "--admin-key" in without.stderr


def test_calibrate_tells_what_is_wrong_with_the_proxy() -> None:
    """Not there, or something else."""
    with serving({}) as proxy:
        result = runner.invoke(app, ["calibrate", "--proxy", proxy])
    assert result.exit_code == 2
    assert "answers 404" in result.stderr
    result = runner.invoke(app, ["calibrate", "--proxy", proxy])
    assert result.exit_code == 2
    assert "cannot be reached" in result.stderr
    result = runner.invoke(app, ["calibrate", "--proxy", "file:///etc/passwd"])
    assert result.exit_code == 2
    assert "not an address" in result.stderr


def test_greedy_requests_get_a_baseline_of_their_own(tmp_path: Path) -> None:
    """If there are enough of them; the one for all is learned from them as well."""
    out = tmp_path / "baselines.json"
    sampled, greedy = lessons(60, temperature=1.0), lessons(60, temperature=0.0)
    path = write_lines(tmp_path / "a.jsonl", *sampled, *greedy)
    output = runner.invoke(app, ["calibrate", path, "--out", str(out)]).output
    assert "3 drafts a step: 120 requests" in output
    assert "3 drafts a step, temperature 0: 60 requests" in output
    learned = {one.max_temperature: one.requests for one in read_baselines(out)}
    assert learned == {None: 120, 0.0: 60}
    few = write_lines(tmp_path / "b.jsonl", *sampled, *lessons(10, temperature=0.0))
    other = tmp_path / "few.json"
    runner.invoke(app, ["calibrate", few, "--out", str(other)])
    assert [one.max_temperature for one in read_baselines(other)] == [None]


@pytest.mark.parametrize("command", ["scan", "evaluate"])
def test_weights_of_ones_own_can_be_tried_on_recordings(tmp_path: Path, command: str) -> None:
    path = write_lines(tmp_path / "a.jsonl", *lessons(3, fault="none"))
    own = tmp_path / "fusion.json"
    own.write_text(json.dumps(packaged_weights().to_dict()), encoding="utf-8")
    assert runner.invoke(app, [command, path, "--fusion", str(own)]).exit_code == 0
    own.write_text("{}", encoding="utf-8")
    result = runner.invoke(app, [command, path, "--fusion", str(own)])
    assert result.exit_code == 2
    assert "specwatch train --out" in result.stderr
