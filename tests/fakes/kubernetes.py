"""An API server of Kubernetes over TLS: EndpointSlices as a list and as a watch."""

import asyncio
import contextlib
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import trustme
from aiohttp import web

PATH = "/apis/discovery.k8s.io/v1/namespaces/llm/endpointslices"


@dataclass
class FakeKubernetes:
    """Use as ``async with FakeKubernetes(folder) as api``.

    Attributes:
        folder: of the service account; gets ``token`` and ``ca.crt``.
        token: the only one that is taken.
        slices: those of the service, by name.
        forgotten: events up to this version are known no more (410).
        may_watch: else a watch is answered 403.
        lists, watches: how often each was asked for, watches with their version.
    """

    folder: Path
    token: str = "first"
    slices: dict[str, Any] = field(default_factory=dict)
    version: int = 100
    forgotten: int = 0
    may_watch: bool = True
    lists: int = 0
    watches: list[int] = field(default_factory=list)
    refused: int = 0
    environment: dict[str, str] = field(default_factory=dict)
    _history: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _streams: set[web.StreamResponse] = field(default_factory=set)
    _cut: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.folder / "ca.crt"))
        (self.folder / "token").write_text(self.token)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(tls)
        app = web.Application()
        app.router.add_get(PATH, self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        host, port = self._runner.addresses[0][:2]
        self.environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port)}
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self.end_watches()
        await self._runner.cleanup()

    async def put(self, name: str, *ips: str) -> None:
        """A slice is there, or has changed."""
        kind = "MODIFIED" if name in self.slices else "ADDED"
        self.slices[name] = {
            "metadata": {"name": name},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 30000}],
            "endpoints": [{"addresses": [ip], "conditions": {"ready": True}} for ip in ips],
        }
        await self._tell(kind, self.slices[name])

    async def delete(self, name: str) -> None:
        """A slice is gone."""
        await self._tell("DELETED", self.slices.pop(name))

    async def bookmark(self) -> None:
        """Nothing happened up to here."""
        await self._tell("BOOKMARK", {"kind": "EndpointSlice", "metadata": {}})

    async def say(self, event: dict[str, Any]) -> None:
        """Anything, to all watches."""
        async with self._changed:
            self._history.append((self.version, event))
            self._changed.notify_all()

    async def end_watches(self) -> None:
        """Their time is over."""
        cut, self._cut = self._cut, asyncio.Event()
        cut.set()
        async with self._changed:
            self._changed.notify_all()

    async def wait_for_watches(self, count: int) -> None:
        """Until so many have begun."""
        async with asyncio.timeout(10), self._changed:
            await self._changed.wait_for(lambda: len(self.watches) >= count)

    async def _tell(self, kind: str, found: dict[str, Any]) -> None:
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        await self.say({"type": kind, "object": json.loads(json.dumps(found))})

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("authorization") != f"Bearer {self.token}":
            self.refused += 1
            return web.json_response({"code": 401}, status=401)
        if request.query.get("watch") != "true":
            self.lists += 1
            metadata = {"resourceVersion": str(self.version)}
            return web.json_response({"metadata": metadata, "items": list(self.slices.values())})
        assert request.query["allowWatchBookmarks"] == "true"
        since = int(request.query["resourceVersion"])
        async with self._changed:
            self.watches.append(since)
            self._changed.notify_all()
        if not self.may_watch:
            return web.json_response({"code": 403}, status=403)
        return await self._stream(request, since)

    async def _stream(self, request: web.Request, since: int) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        if since < self.forgotten:
            gone = {"code": 410, "message": "too old resource version"}
            await response.write(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            return response
        sent = next(
            (number for number, (at, _) in enumerate(self._history) if at > since),
            len(self._history),
        )
        cut = self._cut
        with contextlib.suppress(ConnectionError):
            while not cut.is_set():
                for _, event in self._history[sent:]:
                    line = json.dumps(event).encode() + b"\n"
                    await response.write(line[:20])  # lines do not come in one piece
                    await asyncio.sleep(0)
                    await response.write(line[20:])
                sent = len(self._history)
                async with self._changed:
                    if len(self._history) == sent and not cut.is_set():
                        await self._changed.wait()
        return response
