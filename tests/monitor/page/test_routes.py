"""The page's files and its events over HTTP."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from fastapi import FastAPI

from monitor.page.difference import Tables
from monitor.page.hub import Hub
from monitor.page.live import LiveEvents
from monitor.page.routes import STATIC, build_page_router, page_files
from tests.fakes.asgi_client import Exchange, start

PATIENCE_SECONDS = 20.0


async def picture() -> Tables:
    return {"totals": {"now": {"number": 1}}}


def app_of(hub: Hub, key: str | None = None) -> FastAPI:
    app = FastAPI()
    app.include_router(build_page_router(hub, key))
    return app


@asynccontextmanager
async def client(key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app_of(Hub(picture), key))
    async with httpx.AsyncClient(transport=transport, base_url="http://specwatch") as http:
        yield http


@pytest.mark.parametrize("path", page_files())
async def test_each_file_allows_nothing_from_elsewhere(path: str) -> None:
    """Also with an admin key: the page is where it is entered."""
    async with client("secret") as http:
        got = await http.get(path)
    assert got.status_code == 200
    policy = got.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert got.headers["x-content-type-options"] == "nosniff"
    assert len(got.content) == page_files()[path].stat().st_size > 0


async def test_types_are_those_that_a_browser_takes() -> None:
    async with client() as http:
        kinds = {path: (await http.get(path)).headers["content-type"] for path in page_files()}
    assert kinds["/page"].startswith("text/html")
    assert kinds["/page/main.js"].startswith("text/javascript")
    assert kinds["/page/page.css"].startswith("text/css")
    assert kinds["/page/icon.svg"] == "image/svg+xml"


def test_the_files_name_no_other_place() -> None:
    """And nothing inline, which the policy would refuse, nor a way to read text as HTML."""
    for path in STATIC.iterdir():
        text = path.read_text()
        named = set(re.findall(r"https?://[^\"'\s)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert named <= {r"http:\/\/"}, path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        if path.suffix == ".html":
            assert not re.search(r"\s(on\w+|style)=|<style|<script(?![^>]*src=)", text)


@pytest.mark.parametrize("path", ["/page/page.html", "/page/../routes.py", "/page/none.js"])
async def test_there_are_no_other_files(path: str) -> None:
    async with client() as http:
        assert (await http.get(path)).status_code == 404


@pytest.mark.parametrize("given", [None, "Bearer wrong", "secret"])
async def test_events_need_the_key_if_there_is_one(given: str | None) -> None:
    headers = {} if given is None else {"authorization": given}
    async with client("secret") as http:
        assert (await http.get("/api/live", headers=headers)).status_code == 401


async def events(hub: Hub, *headers: tuple[str, str]) -> Exchange:
    """A page that reads; the first event has come."""
    page = start(app_of(hub), "GET", "/api/live", headers=[("host", "x"), *headers])
    async with asyncio.timeout(PATIENCE_SECONDS):
        while b"\n\n" not in page.body:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return page


async def test_a_page_reads_until_it_is_closed() -> None:
    hub = Hub(picture)
    page = await events(hub)
    assert page.status == 200
    assert page.headers["content-type"].startswith("text/event-stream")
    assert page.headers["x-accel-buffering"] == "no"
    assert b"event: picture\n" in page.body
    assert hub.viewers == 1
    await page.leave()
    assert hub.viewers == 0


async def test_a_page_that_comes_back_names_its_last_event() -> None:
    """Nothing has changed: nothing is told again."""
    hub = Hub(picture, interval_seconds=0.01)
    stays = await events(hub)
    last_id = stays.body.split(b"\n")[0].removeprefix(b"id: ").decode()
    back = start(
        app_of(hub), "GET", "/api/live", headers=[("host", "x"), ("last-event-id", last_id)]
    )
    async with asyncio.timeout(PATIENCE_SECONDS):
        while back.status is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert (back.status, back.body) == (200, b"")
    await stays.leave()
    await back.leave()


async def test_too_many_pages_are_told_to_come_back() -> None:
    hub = Hub(picture, most_viewers=1)
    page = await events(hub)
    late = await start(app_of(hub), "GET", "/api/live", headers=[("host", "x")]).finish()
    assert (late.status, late.headers["retry-after"]) == (503, "10")
    await page.leave()


async def test_a_process_that_stops_ends_its_pages_and_takes_no_new_ones() -> None:
    is_leaving = False
    hub = Hub(picture, is_leaving=lambda: is_leaving, interval_seconds=0.01)
    page = await events(hub)
    is_leaving = True
    await page.finish()
    assert page.is_ended
    assert hub.viewers == 0
    late = await start(app_of(hub), "GET", "/api/live", headers=[("host", "x")]).finish()
    assert late.status == 503


async def test_heartbeats_keep_a_quiet_connection_open() -> None:
    hub = Hub(picture)
    exchange = Exchange()
    answer = LiveEvents(hub.join(), heartbeat_seconds=0.02)
    scope = {"type": "http"}
    exchange._task = asyncio.create_task(answer(scope, exchange.receive, exchange.send))
    await exchange.wait_for(b": still here\n\n: still here\n\n")
    await exchange.leave()
    assert hub.viewers == 0


async def test_who_stops_reading_loses_its_place() -> None:
    """A dead connection that takes nothing would else hold it for ever."""
    hub = Hub(picture)
    stuck = asyncio.Event()

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        if message["type"] == "http.response.body":
            await stuck.wait()

    async with asyncio.timeout(PATIENCE_SECONDS):
        answer = LiveEvents(hub.join(), send_seconds=0.05)
        await answer({"type": "http"}, Exchange().receive, send)
    assert hub.viewers == 0
