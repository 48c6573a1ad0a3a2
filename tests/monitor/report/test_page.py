"""The report as a file: nothing in it is obeyed, nothing is fetched, all of it is there."""

import asyncio
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from msgspec import structs
from typer.testing import CliRunner

from monitor.cli import app
from monitor.errors import IncidentsUnavailable
from monitor.incidents.engine_then import EngineNumbers, EngineThen
from monitor.incidents.sources import open_source
from monitor.monitor import Monitor
from monitor.records import Incident, IncidentFilter
from monitor.report.gather import Gathered, gather
from monitor.report.markup import Markup, el
from monitor.report.page import MOST_ARTICLES, build_articles, page
from tests.monitor.events import REPLICA_A, REPLICA_B, attempt_ended, request_id
from tests.monitor.incidents.made import fill, foreign, lines, made, serving

EVIL = (
    "<script>canary()</script>",
    '"><img src=x onerror=canary()>',
    "'><svg/onload=canary()>",
    "</style></title><iframe src=//canary>",
    "javascript:canary()",
    "url(//canary)",
    "\x00<\u202escript>canary()",
)
OURS = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "h3", "p", "div", "b", "span"),
    *("figure", "figcaption", "svg", "rect", "line", "path", "text", "i", "table", "thead"),
    *("tbody", "tr", "th", "td", "a", "article", "pre"),
}


class Elements(HTMLParser):
    """What a browser would make of it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.ids: set[str] = set()
        self.targets: set[str] = set()
        self.attributes: set[str] = set()
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.add(value or "")
            if name in {"href", "src"}:
                self.targets.add(value or "")

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def read(content: str) -> Elements:
    elements = Elements()
    elements.feed(content)
    elements.close()
    return elements


def written(*incidents: Incident, **healthy: list[float]) -> str:
    """The report on these."""
    gathered = Gathered(incidents, healthy)
    return page(gathered, list(build_articles(incidents)), now=0.0)


@pytest.mark.parametrize("evil", EVIL)
async def test_a_name_that_is_markup_is_shown_and_not_obeyed(evil: str) -> None:
    """Of a model, a replica, a detector, in a reason, an error, an id, a captured text."""
    incident = await foreign(evil)
    story = (await made()).request
    assert story is not None
    attempts = (incident.facts, *story.attempts)
    incident = structs.replace(
        incident, request=structs.replace(story, attempts=attempts, outcome=None)
    )
    elements = read(written(incident, **{evil: [1.0, 2.0]}))
    assert elements.tags <= OURS
    assert not any(name.startswith("on") for name in elements.attributes)
    assert elements.targets == {"#incident-0"}
    said = evil.replace("\x00", "�").replace("\u202e", "�")
    assert said in "".join(elements.said), "it is shown as it is"


async def test_nothing_is_fetched_and_every_link_resolves() -> None:
    """One file, to be read anywhere; a policy of its own says so to the browser."""
    incidents = [await made(number) for number in range(3)]
    content = written(*incidents)
    elements = read(content)
    assert elements.targets == {f"#incident-{at}" for at in range(3)}
    assert elements.targets == {f"#{name}" for name in elements.ids}
    assert "default-src &#x27;none&#x27;" in content
    assert not re.search(r"@import|url\(|<script|<link|https?://(?!www\.w3|127\.)", content)
    assert "prefers-color-scheme: dark" in content


async def test_all_that_is_asked_of_it_is_there() -> None:
    """Time, acceptance, delay, cost, table, steps, attempts, the engine, text where captured."""
    numbers = EngineNumbers(cache_usage=0.97)
    then = EngineThen(own=numbers, age_seconds=1.0, others=numbers, other_replicas=3)
    incident = structs.replace(await made(text_sample="word salad"), engine_then=then)
    said = " ".join(read(written(incident, **{REPLICA_B: [2.5]})).said)
    for title in ("Incidents over time", "Accept length by replica", "Detection delay", "Cost"):
        assert title in said
    assert "median 39, 95 % within 39" in said
    assert "tokens thrown away" in said
    assert f"{REPLICA_B}: 2 healthy, median 2.00; 0 sick" in said
    assert "median of 3 others" in said
    assert "97 %" in said
    assert "word salad" in said
    assert "accept length 1.1 under 1.4" in said


async def test_bare_records_make_a_report_too() -> None:
    """Of an older version, with nothing but who and when."""
    one = await made()
    facts = structs.replace(one.facts, verdict=None, accept_length=None, engine=None, model=None)
    content = written(structs.replace(one, facts=facts, steps=None, request=None))
    assert "no verdict in this record" in content
    assert "Detection delay" not in content


async def test_many_incidents_stay_a_file_one_can_open() -> None:
    """The newest are told one by one, all are counted."""
    one = await made()
    many = [structs.replace(one, id=f"{n}", at=10_000.0 - n) for n in range(1000)]
    content = written(*many)
    assert len(read(content).ids) == MOST_ARTICLES
    assert "1,000 from" in content
    assert "800 older ones are only counted above" in content
    assert len(content) < 2_000_000


async def test_a_running_monitor_tells_healthy_acceptance_too() -> None:
    """By replica, from the ring that calibration reads."""
    monitor = Monitor()
    fill(monitor, 1)
    steps = bytes([2, 1] * 20)
    for number in range(2, 130):
        monitor.emit(attempt_ended(number, replica=REPLICA_A, accepted_per_step=steps))
    async with serving(monitor) as address:
        source = open_source(address)
        found = await asyncio.to_thread(gather, source, IncidentFilter(limit=10**6))
        with pytest.raises(IncidentsUnavailable, match="nothing to report"):
            await asyncio.to_thread(gather, source, IncidentFilter(replica="http://none"))
    assert [one.request_id for one in found.incidents] == [request_id(1)]
    assert found.healthy == {REPLICA_A: [2.5] * 128}


def test_an_element_escapes_what_is_not_one() -> None:
    """Also in attributes; an element inside stays one."""
    made_up = el("p", "<b>", el("b", "&"), None, class_='"x', data_a=1.0, title=None)
    assert made_up == '<p class="&quot;x" data-a="1">&lt;b&gt;<b>&amp;</b></p>'
    assert isinstance(made_up, Markup)


def test_the_command(tmp_path: Path) -> None:
    """From a file of lines to a page; errors in one sentence."""
    source, target = tmp_path / "incidents.jsonl", tmp_path / "report.html"
    source.write_bytes(asyncio.run(lines(1, 2)) + b"{}\n")
    runner = CliRunner()
    result = runner.invoke(app, ["report", "--html", str(target), "--from", str(source)])
    assert result.exit_code == 0
    assert "2 incidents" in result.stderr
    assert "1 unreadable" in result.stderr
    assert "1 records could not be read" in target.read_text()
    assert read(target.read_text()).tags <= OURS
    into_nowhere = ["report", "--html", str(tmp_path / "no" / "a.html"), "--from", str(source)]
    assert runner.invoke(app, into_nowhere).exit_code == 2
    empty = ["report", "--html", str(target), "--from", str(source), "--since", "1h"]
    result = runner.invoke(app, empty)
    assert (result.exit_code, "nothing to report" in result.stderr) == (2, True)
    of_another = ["report", "--html", str(target), "--from", str(source), "--model", "another"]
    result = runner.invoke(app, of_another)
    assert (result.exit_code, "nothing to report" in result.stderr) == (2, True)
