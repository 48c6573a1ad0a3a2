"""The scraper against real sockets: good pages, refusals, hangs, keys."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from monitor.catalog import engines
from monitor.engine_metrics import scraper as scraping
from monitor.engine_metrics.collector import engine_row
from monitor.engine_metrics.scraper import EngineScraper
from monitor.monitor import Monitor
from retry_proxy.stream.sockets import SocketUpstream
from tests.monitor.fakes import FakeFleet, FakeReplica

PAGE = (Path(__file__).parents[2] / "data/engine_metrics/vllm-0.32.0-draft.txt").read_text()


class Engine:
    """A page of metrics that a test sets."""

    def __init__(self) -> None:
        self.page, self.status, self.seen = PAGE, 200, list[str | None]()
        self.address, self.was_asked = "", asyncio.Event()

    async def metrics(self, request: web.Request) -> web.Response:
        self.seen.append(request.headers.get("authorization"))
        self.was_asked.set()
        return web.Response(text=self.page, status=self.status)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made, app = Engine(), web.Application()
    app.router.add_get("/metrics", made.metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def upstream() -> AsyncIterator[SocketUpstream]:
    made = SocketUpstream(1.0)
    yield made
    await made.close()


async def test_a_page_becomes_series_by_replica(engine: Engine, upstream: SocketUpstream) -> None:
    """Through the monitor's registry; a replica that did not say what it is is left alone."""
    fleet = FakeFleet(
        FakeReplica(engine.address, engine="vllm"), FakeReplica("http://127.0.0.1:9", engine=None)
    )
    monitor, scraper = Monitor(), EngineScraper(fleet, upstream, 60, "secret")
    monitor.watch_engines(scraper.states)
    async with scraper.running():
        async with asyncio.timeout(5):
            await engine.was_asked.wait()
            await asyncio.sleep(0.1)  # the answer is on its way
    sample = monitor.metrics.registry.get_sample_value
    at = {"replica": engine.address}
    assert sample(engines.SCRAPED.name, at) == 1
    assert sample(engines.CACHE_USAGE.name, at) == 0
    assert sample(engines.MISSING.name, {"engine": "vllm"}) == 0
    assert engine.seen == ["Bearer secret"]
    assert len(scraper.states.replicas) == 1
    await scraper.scrape()
    assert sample(engines.POSITION_ACCEPTED.name, {"engine": "vllm", "kind": "1"}) == 0


@pytest.mark.parametrize(
    ("page", "status", "told"),
    [
        ("", 404, "status 404"),
        ("http_requests_total 1\n", 200, "none of the known names"),
        ("<html>no</html>", 200, "none of the known names"),
    ],
)
async def test_a_bad_page_is_told(
    engine: Engine, upstream: SocketUpstream, page: str, status: int, told: str
) -> None:
    """As a flag for Prometheus and in words for people; the old numbers are gone."""
    monitor = Monitor()
    scraper = EngineScraper(FakeFleet(FakeReplica(engine.address, engine="vllm")), upstream, 60)
    monitor.watch_engines(scraper.states)
    await scraper.scrape()
    engine.page, engine.status = page, status
    await scraper.scrape()
    state = scraper.states.replicas[engine.address]
    assert told in str(engine_row(state)["error"])
    sample = monitor.metrics.registry.get_sample_value
    at = {"replica": engine.address}
    assert sample(engines.SCRAPED.name, at) == 0
    assert sample(engines.RUNNING.name, at) is None


async def test_a_renamed_metric_is_named(engine: Engine, upstream: SocketUpstream) -> None:
    """The rest is still told."""
    engine.page = PAGE.replace("kv_cache_usage_perc", "kv_fill")
    scraper = EngineScraper(FakeFleet(FakeReplica(engine.address, engine="vllm")), upstream, 60)
    await scraper.scrape()
    assert engine_row(scraper.states.replicas[engine.address])["missing"] == ["cache_usage"]


async def test_one_that_hangs_holds_nobody_else_up(
    engine: Engine, upstream: SocketUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The good one's numbers are there, and the other one's failure is told."""
    monkeypatch.setattr(scraping, "_TIMEOUT_SECONDS", 0.3)
    kept: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: kept.append(writer), "127.0.0.1", 0)
    hanging = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}"
    fleet = FakeFleet(
        FakeReplica(hanging, engine="vllm"), FakeReplica(engine.address, engine="vllm")
    )
    scraper = EngineScraper(fleet, upstream, 60)
    await scraper.scrape()
    assert scraper.states.replicas[engine.address].error is None
    assert "0.3 s" in (scraper.states.replicas[hanging].error or "")
    await upstream.close()
    for writer in kept:
        writer.close()
        await writer.wait_closed()
    silent.close()
