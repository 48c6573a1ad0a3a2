"""The real proxy in front of fake engines."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI

from retry_proxy.app import build_app
from retry_proxy.config import PanelName, ProxyConfig
from retry_proxy.fleet import Fleet
from retry_proxy.stream.text_tail import TextSink
from retry_proxy.trace_context import Tracing
from tests.fakes.engine import FakeEngine
from tests.fakes.routes import ALL_ROUTES, CHAT, MESSAGES, RESPONSES, ROUTES, TYPED_ROUTES
from tests.fakes.sink import RecordingSink

__all__ = [
    "ALL_ROUTES",
    "CHAT",
    "MESSAGES",
    "RESPONSES",
    "ROUTES",
    "TYPED_ROUTES",
    "Proxy",
    "answer_of",
    "proxy_for",
    "request_body",
    "words",
]


@dataclass
class Proxy:
    app: FastAPI
    fleet: Fleet
    sink: RecordingSink
    config: ProxyConfig


@asynccontextmanager
async def proxy_for(*engines: FakeEngine, **options: Any) -> AsyncIterator[Proxy]:
    """A started proxy whose replicas are the engines, in order of preference.

    ``text_sink`` and ``tracing`` go to the app, every other option to its configuration. The
    published rule watches: what the fakes write is no language, and these tests are about what
    follows a verdict.
    """
    options.setdefault("panel", PanelName.PUBLISHED)
    text_sink: TextSink | None = options.pop("text_sink", None)
    tracing: Tracing | None = options.pop("tracing", None)
    sink = RecordingSink()
    config = ProxyConfig(replicas=tuple(engine.address for engine in engines), **options)
    fleet = Fleet(config, sink)
    app = build_app(config, sink=sink, fleet=fleet, text_sink=text_sink, tracing=tracing)
    async with app.router.lifespan_context(app):
        yield Proxy(app, fleet, sink, config)
        await fleet.settle()
    assert all(replica.in_flight == 0 for replica in fleet.snapshot()), "a lease was not given back"


def request_body(
    route: str, *, stream: bool = True, max_tokens: int | None = None
) -> dict[str, Any]:
    """A small request for a route."""
    body: dict[str, Any] = {"model": "fake-model", "stream": stream}
    if route == "/generate":
        body["text"] = "Tell me."
        body["sampling_params"] = {} if max_tokens is None else {"max_new_tokens": max_tokens}
        return body
    if route == RESPONSES:
        body["input"] = "Tell me."
        return body if max_tokens is None else {**body, "max_output_tokens": max_tokens}
    if route == "/v1/completions":
        body["prompt"] = [1, 2, 3]
    else:
        body["messages"] = [{"role": "user", "content": "Tell me."}]
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    return body


def words(count: int) -> str:
    """The fake engine's answer."""
    return "".join(f" w{number}" for number in range(count))


def answer_of(route: str, body: dict[str, Any]) -> str:
    """Text of a non-streaming answer."""
    if route == "/generate":
        return str(body["text"])
    if route == MESSAGES:
        return str(body["content"][0]["text"])
    if route == RESPONSES:
        return str(body["output"][0]["content"][0]["text"])
    choice = body["choices"][0]
    return str(choice["text"] if route == "/v1/completions" else choice["message"]["content"])
