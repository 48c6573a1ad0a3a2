"""A client that drives an ASGI application without a socket: it can read slowly and leave."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from starlette.types import ASGIApp, Message

_END_EVENTS = ("message_stop", "response.completed", "response.incomplete")


@dataclass
class Exchange:
    """One request and what came back so far."""

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_ended: bool = False
    _pending: list[Message] = field(default_factory=list)
    _gone: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _task: "asyncio.Task[None] | None" = None

    async def receive(self) -> Message:
        if self._pending:
            return self._pending.pop(0)
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            assert self.status is None, "the response started twice"
            self.status = message["status"]
            self.headers = {
                name.decode("latin-1"): value.decode("latin-1")
                for name, value in message["headers"]
            }
        else:
            assert self.status is not None, "a body before the head"
            assert not self.is_ended, "a body after its end"
            self.body += message.get("body", b"")
            self.is_ended = not message.get("more_body", False)
        async with self._changed:
            self._changed.notify_all()

    async def wait_for(self, piece: bytes) -> None:
        """Returns once the body holds these bytes."""
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(lambda: piece in self.body)

    async def leave(self) -> None:
        """Disconnects and waits until the application is done with the request."""
        self._gone.set()
        await self.finish()

    async def finish(self) -> Self:
        """Waits for the application's end of the request."""
        assert self._task is not None
        async with asyncio.timeout(10):
            await self._task
        return self

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def events(self) -> Iterator[Any]:
        """Data of the events, ``[DONE]`` as text."""
        for block in self.body.split(b"\n\n"):
            name, has_name, rest = block.partition(b"\ndata: ")
            data = rest if has_name else name.removeprefix(b"data: ")
            if has_name or data != name:
                event: Any = "[DONE]" if data == b"[DONE]" else msgspec.json.decode(data)
                assert not has_name or name == b"event: " + event["type"].encode()
                yield event

    def text(self) -> str:
        """Answer text of a stream, any of the routes."""
        text = ""
        for event in self.events():
            if event == "[DONE]" or "error" in event:
                continue
            if "meta_info" in event:
                assert event["text"].startswith(text), "cumulative text went back"
                text = event["text"]
            if event.get("type") == "content_block_delta":
                text += event["delta"].get("text", "")
            if event.get("type") == "response.output_text.delta":
                text += event["delta"]
            for choice in event.get("choices", ()):
                text += (choice.get("delta") or {}).get("content") or choice.get("text") or ""
        return text

    @property
    def is_done(self) -> bool:
        """The stream has the end mark of its API."""
        last = list(self.events())[-1:]
        if last and isinstance(last[0], dict):
            return last[0].get("type") in _END_EVENTS
        return last == ["[DONE]"]

    @property
    def error(self) -> dict[str, Any] | None:
        """The in-band error, if the stream ended with one."""
        last = list(self.events())[-1:]
        if not last or not isinstance(last[0], dict):
            return None
        if last[0].get("type") == "response.failed":
            failure: dict[str, Any] = last[0]["response"]["error"]
            return failure
        return last[0].get("error")


def start(
    app: ASGIApp,
    method: str,
    path: str,
    body: object = None,
    *,
    headers: list[tuple[str, str]] | None = None,
) -> Exchange:
    """Begins a request; ``body`` is bytes, a list of bytes (sent in pieces) or JSON."""
    exchange = Exchange()
    if isinstance(body, list) and all(isinstance(part, bytes) for part in body):
        parts = body
    elif isinstance(body, bytes):
        parts = [body]
    else:
        parts = [b"" if body is None else msgspec.json.encode(body)]
    for index, part in enumerate(parts):
        more = index < len(parts) - 1
        exchange._pending.append({"type": "http.request", "body": part, "more_body": more})
    target, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": target,
        "raw_path": target.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [
            (name.lower().encode(), value.encode())
            for name, value in (headers or [("host", "proxy")])
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    exchange._task = asyncio.create_task(_run(app, scope, exchange))
    return exchange


async def _run(app: ASGIApp, scope: dict[str, Any], exchange: Exchange) -> None:
    await app(scope, exchange.receive, exchange.send)


async def post(app: ASGIApp, path: str, body: object, **options: Any) -> Exchange:
    """Sends a request and waits for the whole answer."""
    return await start(app, "POST", path, body, **options).finish()


async def post_paused(app: ASGIApp, path: str, body: object, resume: asyncio.Event) -> Exchange:
    """Sends a request to an engine that pauses, and lets it go on once the client has text."""
    exchange = start(app, "POST", path, body)
    await exchange.wait_for(b" w5")
    resume.set()
    return await exchange.finish()
