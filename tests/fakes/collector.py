"""An OpenTelemetry collector over HTTP that keeps the spans it is sent."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass
class FakeCollector:
    """Use as ``async with FakeCollector() as collector``.

    Attributes:
        hangs: it takes what is sent and never answers.
        bodies: as they came.
        service: of the last resource that was told.
    """

    hangs: bool = False
    spans: list[Span] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    calls: int = 0
    service: str = ""
    address: str = ""
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/traces", self._take)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.calls += 1
        self._news.set()
        body = await request.read()
        if self.hangs:
            await asyncio.Event().wait()
        assert request.content_type == "application/x-protobuf"
        self.bodies.append(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.service = str(values(resource.resource.attributes)["service.name"])
            for scope in resource.scope_spans:
                self.spans += scope.spans
        self._news.set()
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")

    async def wait_for(self, count: int) -> None:
        """Until so many spans came."""
        async with asyncio.timeout(20):
            while len(self.spans) < count:
                await self._next()

    async def wait_for_call(self) -> None:
        """Until something was sent, answered or not."""
        async with asyncio.timeout(20):
            while not self.calls:
                await self._next()

    async def _next(self) -> None:
        self._news.clear()
        await self._news.wait()


def values(pairs: Iterable[KeyValue]) -> dict[str, object]:
    """Attributes as a mapping."""
    found: dict[str, object] = {}
    for pair in pairs:
        kind = pair.value.WhichOneof("value")
        found[pair.key] = None if kind is None else getattr(pair.value, kind)
    return found
