"""As much of Grafana's HTTP API as the upload uses, written from its documentation: folders, data
sources, dashboards; service account tokens; names and uids that must be unique.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "glsa_right"


@dataclass
class Grafana:
    """What it keeps, and every request in order.

    Attributes:
        status: answered to everything instead, if it is set.
        role: of the token; an Editor may not change data sources.
    """

    folders: dict[str, dict[str, Any]] = field(default_factory=dict)
    datasources: dict[str, dict[str, Any]] = field(default_factory=dict)
    dashboards: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    status: int | None = None
    role: str = "Admin"
    address: str = ""

    @web.middleware
    async def check(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path}")
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return _message(401, "Invalid API key")
        if self.status is not None:
            return _message(self.status, "as the test says")
        if self.role != "Admin" and request.path.startswith("/api/datasources"):
            return _message(403, "You'll need additional permissions")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def get_folder(self, request: web.Request) -> web.Response:
        folder = self.folders.get(request.match_info["uid"])
        return _message(404, "folder not found") if folder is None else web.json_response(folder)

    async def create_folder(self, request: web.Request) -> web.Response:
        body = await request.json()
        if any(one["title"] == body["title"] for one in self.folders.values()):
            return _message(412, "a folder with that title already exists")
        self.folders[body["uid"]] = body
        return web.json_response(body)

    async def get_datasource(self, request: web.Request) -> web.Response:
        found = self.datasources.get(request.match_info["name"])
        return _message(404, "Data source not found") if found is None else web.json_response(found)

    async def create_datasource(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["name"] in self.datasources:
            return _message(409, "data source with the same name already exists")
        self.datasources[body["name"]] = {**body, "uid": "P1", "id": 1}
        return web.json_response({"message": "Datasource added"})

    async def update_datasource(self, request: web.Request) -> web.Response:
        body = await request.json()
        found = next(
            one for one in self.datasources.values() if one["uid"] == request.match_info["uid"]
        )
        found.update(body)
        return web.json_response({"message": "Datasource updated"})

    async def save_dashboard(self, request: web.Request) -> web.Response:
        body = await request.json()
        content = body["dashboard"]
        if content.get("id") is not None:
            return _message(404, "Dashboard not found")
        if body["folderUid"] not in self.folders:
            return _message(400, "folder not found")
        before = self.dashboards.get(content["uid"])
        if before is not None and not body.get("overwrite"):
            return _message(412, "The dashboard has been changed by someone else")
        version = 1 if before is None else before["version"] + 1
        self.dashboards[content["uid"]] = {**content, "version": version}
        url = f"/d/{content['uid']}/x"
        return web.json_response({"status": "success", "uid": content["uid"], "url": url})

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.check], client_max_size=10_000_000)
        app.router.add_get("/api/folders/{uid}", self.get_folder)
        app.router.add_post("/api/folders", self.create_folder)
        app.router.add_get("/api/datasources/name/{name}", self.get_datasource)
        app.router.add_post("/api/datasources", self.create_datasource)
        app.router.add_put("/api/datasources/uid/{uid}", self.update_datasource)
        app.router.add_post("/api/dashboards/db", self.save_dashboard)
        return app


def _message(status: int, text: str) -> web.Response:
    return web.json_response({"message": text}, status=status)


@contextmanager
def running(grafana: Grafana) -> Iterator[Grafana]:
    """Serves it from a thread: the client that is tested waits."""
    loop, ready, stop = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(grafana.app())
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        grafana.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait(10)
    try:
        yield grafana
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()
