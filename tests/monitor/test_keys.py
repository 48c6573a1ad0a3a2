"""With keys set, no route of the whole application answers without one."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute

from monitor.config import MonitorConfig
from monitor.errors import InvalidOptions
from monitor.monitor import Monitor
from monitor.page.routes import page_files
from monitor.serve import compose, read_api_keys
from retry_proxy.app import ProxyApp
from retry_proxy.config import ProxyConfig
from retry_proxy.fleet import Fleet
from tests.fakes.asgi_client import start
from tests.fakes.engine import FakeEngine

OPEN = {("GET", "/health"), ("GET", "/ready")} | {("GET", path) for path in page_files()}
ADMIN = (
    "/metrics",
    "/api/replicas",
    "/api/incidents",
    "/api/acceptance",
    "/api/judge",
    "/api/budget",
)
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS")
# The engine's, which passes through.
OTHERS = (
    "/",
    "/x",
    "/v1/models",
    "/health_generate",
    "/health/",
    "//health",
    "/docs",
    "/openapi.json",
)


@asynccontextmanager
async def application(folder: Path, admin_key: str | None = "admin") -> AsyncIterator[FastAPI]:
    keys = folder / "keys"
    keys.write_text("client\n")
    config = MonitorConfig(admin_key=admin_key, api_keys=str(keys) if admin_key else None)
    async with FakeEngine() as engine:
        proxy = ProxyConfig(replicas=(engine.address,))
        monitor = Monitor()
        fleet = Fleet(proxy, monitor)
        app = compose(proxy, config, monitor, fleet)
        async with app.router.lifespan_context(app):
            yield app


async def status(app: FastAPI, method: str, path: str, key: str | None = None) -> int:
    shown = [] if key is None else [("authorization", f"Bearer {key}")]
    got = await start(app, method, path, headers=[("host", "127.0.0.1"), *shown]).finish()
    assert got.status is not None
    return got.status


def paths_of(app: FastAPI) -> list[str]:
    assert isinstance(app, ProxyApp)
    found = {*templates(app.routes), *app.watched}
    return sorted({re.sub(r"\{[^}]*\}", "x", path) for path in found} | set(OTHERS))


def templates(routes: Iterable[BaseRoute]) -> Iterator[str]:
    """Also those of routers within."""
    for route in routes:
        if hasattr(route, "path"):
            yield route.path
        else:
            yield from templates(getattr(route, "original_router").routes)  # noqa: B009


async def test_every_route_is_refused_without_a_key(tmp_path: Path) -> None:
    async with application(tmp_path) as app:
        paths = paths_of(app)
        assert {*ADMIN, "/api/live", "/v1/messages", "/x", "/api/replicas/drain"} <= set(paths)
        asked = [(method, path) for path in paths for method in METHODS]
        got = {one: await status(app, *one) for one in asked}
        wrong = {one: await status(app, *one, key="wrong") for one in asked}
    assert {one for one, code in got.items() if code != 401} == OPEN
    assert {one for one, code in wrong.items() if code != 401} == OPEN


async def test_neither_key_opens_the_other_side(tmp_path: Path) -> None:
    async with application(tmp_path) as app:
        for path in ADMIN:
            assert await status(app, "GET", path, "client") == 401
            assert await status(app, "GET", path, "admin") == 200
        assert await status(app, "POST", "/api/replicas/drain", "client") == 401
        assert await status(app, "POST", "/api/replicas/drain", "admin") == 422
        for path in ("/v1/models", "/tokenize", "/v1/chat/completions"):
            assert await status(app, "GET", path, "admin") == 401
            assert await status(app, "GET", path, "client") < 300


async def test_without_keys_everybody_may_look(tmp_path: Path) -> None:
    async with application(tmp_path, admin_key=None) as app:
        for path in (*ADMIN, "/v1/models"):
            assert await status(app, "GET", path) == 200


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"# nothing"])
def test_a_file_without_keys_is_no_way_in(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidOptions, match="api_keys"):
        read_api_keys(MonitorConfig(api_keys=str(path), admin_key="admin"))
