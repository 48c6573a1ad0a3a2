"""What a person on call reads of one incident."""

import asyncio
import io
import math
from pathlib import Path

import pytest
from msgspec import structs
from rich.console import Console
from typer.testing import CliRunner

from monitor.cli import app
from monitor.incidents.engine_then import EngineNumbers, EngineThen
from monitor.incidents.explain import explanation
from monitor.incidents.plain import moment, number, printable, word
from monitor.incidents.since import parse_since
from monitor.incidents.steps import StepSeries
from monitor.incidents.strip import strip
from monitor.incidents.timeline import place
from monitor.records import Incident
from tests.monitor.events import REPLICA_A, REPLICA_B, verdict
from tests.monitor.incidents.made import foreign, incident_id, lines, made


def shown(incident: Incident, width: int = 120) -> str:
    """As the terminal shows it."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(explanation(incident, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


async def test_the_story_of_a_stopped_answer() -> None:
    """What was seen, why, where in the stream, what came after."""
    text = shown(await made())
    assert text.startswith(f"garbled on {REPLICA_A}, 1970-01-01 00:16:43 UTC")
    assert "accept length 1.1 under 1.4" in text
    assert "onset at token 136, alarm after 175: 39 tokens later" in text
    onset, accepted = text.split("Accepted drafts\n")[1].splitlines()[:2]
    assert accepted.split() == ["1", "2" * 45 + "0" * 39]
    assert (onset.index("▼"), onset.index("✖")) == (accepted.index("0"), len(accepted) - 1)
    attempts = text.split("Attempts of the request\n")[1].splitlines()
    assert REPLICA_A in attempts[1]
    assert attempts[1].lstrip().startswith("→")
    assert REPLICA_B in attempts[2]
    assert attempts[1].rindex("━") < attempts[2].index("━"), "the retry came after"
    assert "retried_clean after 2.50 s" in text
    assert "could not be read at that time" in text
    assert "Captured text" not in text


async def test_the_engine_beside_the_others() -> None:
    """A full cache here and not there is what one looks for."""
    own = EngineNumbers(running=30, waiting=12, cache_usage=0.97, aborts=1234)
    then = EngineThen(
        own=own,
        age_seconds=3.5,
        error="no metrics within 5 s",
        others=EngineNumbers(running=4, cache_usage=0.5),
        other_replicas=2,
    )
    text = shown(structs.replace(await made(), engine_then=then))
    rows = {line.strip()[:16].strip(): line.split()[-4:] for line in text.splitlines()}
    assert "median of 2 others" in text
    assert rows["KV cache in use"] == ["97", "%", "50", "%"]
    assert rows["waiting requests"][-2:] == ["12", "-"]
    assert "scraped 3.5 s before the attempt's end; the last scrape failed: no metrics" in text


async def test_a_record_of_an_older_version_is_told_without_what_it_lacks() -> None:
    """No crash, and nothing made up."""
    full = await made()
    facts = structs.replace(
        full.facts,
        verdict=None,
        engine=None,
        completion_tokens=None,
        duration_seconds=None,
        held_seconds=None,
    )
    text = shown(structs.replace(full, steps=None, request=None, facts=facts))
    assert "the record has no verdict" in text
    assert "engine -" in text
    assert "has not ended, or its end was not recorded" in text


async def test_captured_text_and_odd_numbers() -> None:
    """Infinite scores; text on a panel of its own."""
    seen = verdict(score=math.inf, evidence={"p": math.nan})
    incident = await made(text_sample="word salad", verdict=seen)
    text = shown(incident)
    assert "│ word salad" in text
    assert "score -" in text


@pytest.mark.parametrize(
    "evil",
    ["\x1b[2J\x1b]0;owned\x07", "[red]a[/red] [link=http://a]", "\u202egnp.exe", "a\nb\x9b31m"],
)
async def test_foreign_words_neither_steer_the_terminal_nor_are_markup(evil: str) -> None:
    """A model's name, an error, a text: whoever wrote them."""
    text = shown(await foreign(evil))
    assert not set(text) & set("\x1b\x07\u202e\x9b")
    if "[" in evil and "\x1b" not in evil and "\x9b" not in evil:
        assert evil in text


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_strip_fits_and_counts_tokens(width: int) -> None:
    """Each row begins with the index of its first token."""
    series = StepSeries(accepted="1" * 150, first_token=7, onset_step=3, alarm_step=149)
    rows = strip(series, width).plain.splitlines()
    assert max(map(len, rows[:-3])) <= max(width, 19)
    steps = [row.split() for row in rows if row.lstrip()[:1].isdigit()]
    assert sum(len(accepted) for _, accepted in steps) == 150
    token = 7
    for told, accepted in steps:
        assert int(told.replace(",", "")) == token
        token += 2 * len(accepted)


@pytest.mark.parametrize(
    ("began", "seconds", "expected"),
    [(0, 10, (0, 24)), (0, 0, (0, 1)), (5, 5, (12, 12)), (10, 0, (23, 1)), (-5, 99, (0, 24))],
)
def test_bars_stay_on_their_axis(began: float, seconds: float, expected: tuple[int, int]) -> None:
    assert place(began, seconds, 0, 10) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", 1910.0),
        ("1.5h", 2000 - 5400.0),
        ("2d", 2000 - 172_800.0),
        ("1750000000", 1_750_000_000.0),
        ("1970-01-01T01:00", 3600.0),
        ("1970-01-01T01:00+01:00", 0.0),
    ],
)
def test_since(text: str, expected: float) -> None:
    assert parse_since(text, 2000.0) == expected


def test_numbers_and_words() -> None:
    """Absent is told as such; what cannot be shown is replaced."""
    assert [number(None), number(math.nan), number(1234567, 0)] == ["-", "-", "1,234,567"]
    assert [moment(1e30), moment(math.inf), word(""), word(None)] == ["-"] * 4
    assert printable("a\x00b\td\n") == "a�b\td\n"


def test_the_commands(tmp_path: Path) -> None:
    """From the list to the story, and back out as lines that are read again."""
    path = tmp_path / "incidents.jsonl"
    path.write_bytes(asyncio.run(lines(1, 2)) + b"no json\n")
    runner = CliRunner()

    def run(*arguments: str) -> tuple[int, str, str]:
        result = runner.invoke(app, [*arguments, "--from", str(path)])
        return result.exit_code, result.stdout, result.stderr

    code, table, told = run("incidents")
    assert code == 0
    assert [row.split()[-1] for row in table.splitlines()[1:]] == [incident_id(2), incident_id(1)]
    assert "1 unreadable" in told
    _, again, _ = run("incidents", "--json", "--since", "1970-01-01T00:16:43.5")
    assert again.encode() == asyncio.run(lines(2))
    code, story, _ = run("explain", incident_id(1))
    assert (code, "accept length 1.1 under 1.4" in story) == (0, True)
    assert run("explain", "ffff")[0] == 2
    assert run("incidents", "--since", "yesterday")[0] == 2
    assert run("incidents", "--replica", "http://none")[1] == "no incidents\n"
