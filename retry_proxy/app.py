"""The proxy as an ASGI application.

Watched generation routes, the monitor's routes, everything else verbatim.
"""

import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from retry_proxy.access import ApiKeys, Gate
from retry_proxy.body import ClientGone, check_declared_length, read_body, run_while_connected
from retry_proxy.call_sink import CallSink
from retry_proxy.config import ProxyConfig
from retry_proxy.decide.hold_bounds import HoldBounds
from retry_proxy.decide.release import ReleasePolicy
from retry_proxy.engines.call import GenerationCall, Route, parse_call
from retry_proxy.errors import BodyTooLarge, ClientError, error_body_for
from retry_proxy.events import EventSink, RequestUnwatched
from retry_proxy.fleet.fleet import Fleet
from retry_proxy.headers import decode_headers
from retry_proxy.pass_through import PassThrough
from retry_proxy.services import Services
from retry_proxy.stream.client import ClientStream
from retry_proxy.stream.relay import Relay
from retry_proxy.stream.running import Running
from retry_proxy.stream.text_tail import TextSink
from retry_proxy.stream.writer import WRITER, BodyWriter
from retry_proxy.trace_context import Tracing
from retry_proxy.watch import Learned, PanelBuilder


class ProxyApp(FastAPI):
    """FastAPI, but for the watched routes: their requests skip its layers, which cost more time to
    the first token than all that the proxy itself does before it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.watched: dict[str, ASGIApp] = {}  # by path; POST only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self.watched.get(scope["path"]) if scope["type"] == "http" else None
        if endpoint is not None and scope["method"] == "POST":
            await endpoint(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def build_app(
    config: ProxyConfig,
    *,
    sink: EventSink,
    fleet: Fleet,
    routers: Sequence[APIRouter] = (),
    text_sink: TextSink | None = None,
    learned: Learned | None = None,
    api_keys: ApiKeys | None = None,
    call_sink: CallSink | None = None,
    tracing: Tracing | None = None,
    running: Running | None = None,
) -> FastAPI:
    """Composes the proxy.

    Args:
        routers: mounted before the pass-through of everything else.
        text_sink: gets the text of ended attempts; without one no text is kept.
        learned: baselines and weights; without them the packaged ones.
        api_keys: needed for everything but the routers, which see to themselves.
        call_sink: sees what is asked for; only while traffic is recorded.
        tracing: how traces begin; without it a client's is passed on as it came.
        running: where the attempts that run can be looked at.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await fleet.start()
        try:
            yield
        finally:
            await fleet.stop()

    app = ProxyApp(
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,  # the engine's own pages pass through
        redirect_slashes=False,
    )
    services = build_services(config, sink, fleet, text_sink, learned, call_sink, tracing, running)
    pass_through = PassThrough(fleet, config.max_body_bytes)

    def gated(endpoint: ASGIApp) -> ASGIApp:
        if api_keys is None and config.engine_api_key is None:
            return endpoint
        return Gate(endpoint, api_keys, config.engine_api_key)

    for route in Route:
        app.watched[route.value] = gated(GenerationEndpoint(route, services, pass_through))
    for router in routers:
        app.include_router(router)
    app.router.routes.append(Everything(gated(pass_through)))
    return app


class Everything(BaseRoute):
    """The last route: every path and method that no other one takes whole.

    Starlette's own ``/{path:path}`` matches no line end, not even an encoded one; and without a
    last route the right path with a wrong method would be answered before any key is asked for.
    """

    path = "/{path:path}"

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whole, if it is HTTP."""
        return (Match.FULL if scope["type"] == "http" else Match.NONE), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes it on."""
        await self._app(scope, receive, send)


def build_services(
    config: ProxyConfig,
    sink: EventSink,
    fleet: Fleet,
    text_sink: TextSink | None = None,
    learned: Learned | None = None,
    call_sink: CallSink | None = None,
    tracing: Tracing | None = None,
    running: Running | None = None,
) -> Services:
    """What all requests share, from the configuration."""
    return Services(
        config=config,
        fleet=fleet,
        sink=sink,
        budget=fleet.budget,
        policy=ReleasePolicy(
            mode=config.release,
            hold_first_tokens=config.hold_first_tokens,
            onset_margin_tokens=config.onset_margin_tokens,
            bounds=HoldBounds(
                tokens=config.max_held_tokens,
                size=config.max_held_bytes,
                seconds=config.max_held_seconds,
            ),
        ),
        build_panel=PanelBuilder(config, learned or Learned()).build,
        text_sink=text_sink,
        call_sink=call_sink,
        tracing=tracing,
        running=Running() if running is None else running,
    )


class GenerationEndpoint:
    """One generation route as raw ASGI: nothing between the relay and the socket buffers."""

    def __init__(self, route: Route, services: Services, pass_through: PassThrough) -> None:
        self._route = route
        self._services = services
        self._pass_through = pass_through

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = uuid.uuid4().hex
        writer: BodyWriter | None = scope.get("extensions", {}).get(WRITER)
        client = ClientStream(send, request_id, error_body_for(self._route), writer)
        try:
            limit = self._services.config.max_body_bytes
            check_declared_length(scope["headers"], limit)
            body = await read_body(receive, limit)
            call = parse_call(self._route, body)
        except ClientGone:
            return
        except ClientError as error:
            # Of a body that is too large the rest is not read.
            headers = [("connection", "close")] if isinstance(error, BodyTooLarge) else []
            await client.respond_error(error.status, error.code, str(error), headers)
            return
        if self._services.call_sink is not None:
            self._services.call_sink.began(request_id, call)
        if call.is_watched:
            headers = decode_headers(scope["headers"])
            work = Relay(self._services, call, request_id, headers, client).run()
        else:
            self._tell_unwatched(call)
            marks = [
                ("x-specwatch-request-id", request_id),
                ("x-specwatch-attempts", "1"),
                ("x-specwatch-verdict", "unwatched"),
            ]
            work = self._pass_through.forward(scope, body, send, extra_headers=marks)
        await run_while_connected(work, receive, writer)

    def _tell_unwatched(self, call: GenerationCall) -> None:
        assert call.unwatched_reason is not None, "it is watched"
        event = RequestUnwatched(self._route.value, call.unwatched_reason, time.time())
        self._services.sink.emit(event)
