"""The proxy with a judge whose model is real but tiny, in a process of its own."""

import logging
from pathlib import Path

import pytest

from monitor.api import build_router
from monitor.config import MonitorConfig
from monitor.errors import JudgeUnavailable
from monitor.judge.judge import Judge, JudgeOptions
from monitor.judge.language_model import load_language_model
from monitor.judge.process import JudgeProcess, worker_command
from monitor.monitor import Monitor
from monitor.records import IncidentFilter
from monitor.serve import build_judge
from retry_proxy.app import build_app
from retry_proxy.config import PanelName, ProxyConfig
from retry_proxy.fleet import Fleet
from tests.fakes.asgi_client import post, start
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import request_body
from tests.fakes.script import Fault, Script
from tests.monitor.judge.tiny_folder import write_tiny_folder

SECRET = "canary7f3a"
PAGES = ("/metrics", "/api/incidents", "/api/judge", "/api/replicas")


async def test_an_incident_and_a_sample_get_their_opinions_and_no_text_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The answers are full of a word that is then looked for everywhere."""
    caplog.set_level(logging.DEBUG)
    monitor = Monitor()
    process = JudgeProcess(worker_command(str(write_tiny_folder(tmp_path / "model"))))
    judge = Judge(process, monitor.take_opinion, JudgeOptions(sample_rate=1.0))
    monitor.watch_judge(judge)
    async with FakeEngine(300) as one, FakeEngine(300) as two, judge.running():
        one.default = Script(Fault.LOW_ACCEPTANCE, after=10, word=f" {SECRET}")
        config = ProxyConfig(replicas=(one.address, two.address), panel=PanelName.PUBLISHED)
        fleet = Fleet(config, monitor)
        router = build_router(monitor, fleet)
        app = build_app(config, sink=monitor, fleet=fleet, routers=[router], text_sink=judge)
        async with app.router.lifespan_context(app):
            await post(app, "/generate", request_body("/generate"))
            await judge.idle()
            pages = [(await start(app, "GET", page).finish()).body.decode() for page in PAGES]
    (incident,) = await monitor.incidents(IncidentFilter())
    assert incident.second_opinion is not None
    assert incident.second_opinion.tokens > 64
    assert incident.second_opinion.worst_perplexity is not None
    report = judge.report()
    assert sum(report.opinions["incident"].values()) == 1
    assert sum(report.opinions["healthy"].values()) == 1
    assert "specwatch_judge_up 1.0" in pages[0]
    assert SECRET not in "".join(pages) + repr(incident) + caplog.text


def test_every_token_is_scored_and_the_last_ones_of_a_long_text(tmp_path: Path) -> None:
    """Bytes are the tokens; a character of several starts where it starts."""
    model = load_language_model(str(write_tiny_folder(tmp_path)), threads=1)
    assert [token.start for token in model.score("aéb")] == [0, 1, 1, 2]
    assert model.score("") == []
    long = model.score("x" * 5000)
    assert (len(long), long[-1].start) == (511, 4999)
    assert all(token.surprisal >= 0 for token in long)


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(JudgeUnavailable, match=r"has no config\.json"):
        load_language_model(str(tmp_path), threads=1)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(JudgeUnavailable, match="cannot load its model"):
        load_language_model(str(tmp_path), threads=1)


def test_a_default_model_that_is_not_there_yet_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPECWATCH_CACHE", str(tmp_path))
    with pytest.raises(JudgeUnavailable, match="run `specwatch demo`"):
        load_language_model(None, threads=1)


def test_it_is_off_unless_switched_on() -> None:
    """Then no text is kept for it either."""
    assert build_judge(MonitorConfig(), Monitor()) is None
    judge = build_judge(MonitorConfig(judge=True, judge_sample_rate=0.5), Monitor())
    assert judge is not None
    assert judge.options == JudgeOptions(sample_rate=0.5)
