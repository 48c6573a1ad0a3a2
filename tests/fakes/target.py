"""A target of replays on a real socket: counts tokens by its own rule and notes when it was asked.

``python -m tests.fakes.target`` runs one by itself and prints its address.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

TOKENS_PER_WORD = 1.5
TEMPLATE_TOKENS = 12
_NATIVE_INFO = {"engine": "specwatch", "speculative_algorithm": "EAGLE", "vocab_size": 1000}

_UNREAD: dict[str, Any] = {"sampling_params": {"max_new_tokens": 2}, "max_tokens": 2}


@dataclass(frozen=True, slots=True)
class Reply:
    """How the target answers one request.

    Attributes:
        headers: of the response.
        comment: an event that is none, before the last one.
        sanitizer: goes into ``meta_info`` of who asks for it.
        error: an in-band error instead of the end.
        text: how the answer goes on, by default "b".
        is_cut: the stream ends without a finish reason.
        seconds: until the first token.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    comment: str = ""
    sanitizer: Mapping[str, Any] | None = None
    error: bool = False
    is_cut: bool = False
    seconds: float = 0.0
    text: str = "b"


@dataclass(slots=True)
class Asked:
    """One request: when it came, on which path, with which body."""

    at: float
    path: str
    body: dict[str, Any]
    prompt_tokens: int


@dataclass
class Target:
    """Use as ``async with Target() as target``.

    Attributes:
        reply: decides how a request, by its number from 0, is answered.
        is_native: has ``/generate``, and says so.
        tells_usage: counts prompts in its answers.
        reads_bodies: off, it answers all alike and unread: to measure a generator, not itself.
        calibrations: first requests, which are answered well and are none of the replay.
        port: to listen on; 0: a free one.
    """

    reply: Callable[[int], Reply] = field(default=lambda _: Reply())
    is_native: bool = True
    tells_usage: bool = True
    reads_bodies: bool = True
    calibrations: int = 2
    asked: list[Asked] = field(default_factory=list)
    address: str = ""
    port: int = 0
    _runner: web.AppRunner | None = None
    _begun: int = 0

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_get("/health", self._health)
        app.router.add_get("/server_info", self._info)
        app.router.add_get("/v1/models", self._models)
        for path in ("/generate", "/v1/completions", "/v1/chat/completions"):
            app.router.add_post(path, self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, backlog=4096).start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None, "left without having been entered"
        await self._runner.cleanup()

    @property
    def replayed(self) -> list[Asked]:
        """Without the two requests that find out how it counts."""
        return self.asked[self.calibrations :]

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _info(self, _: web.Request) -> web.Response:
        return web.json_response(_NATIVE_INFO) if self.is_native else web.Response(status=404)

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "scripted"}]})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        at = time.monotonic()
        content = await request.read()
        body = json.loads(content) if self.reads_bodies else _UNREAD
        tokens = prompt_tokens(body) if self.reads_bodies else content.count(b",") - 5
        if self.reads_bodies:
            self.asked.append(Asked(at, request.path, body, tokens))
        number = self._begun - self.calibrations
        self._begun += 1
        reply = Reply() if number < 0 else self.reply(number)
        if reply.status != 200:
            return web.json_response({"error": {"message": "scripted"}}, status=reply.status)
        response = web.StreamResponse(headers=dict(reply.headers))
        response.content_type = "text/event-stream"
        await response.prepare(request)
        await asyncio.sleep(reply.seconds)
        for data in self._events(request.path, body, tokens, reply):
            await response.write(data)
        return response

    def _events(self, path: str, body: dict[str, Any], prompt: int, reply: Reply) -> list[bytes]:
        native = path == "/generate"
        limit = body["sampling_params"]["max_new_tokens"] if native else body["max_tokens"]
        usage = {"prompt_tokens": prompt, "completion_tokens": limit} if self.tells_usage else {}
        end: dict[str, Any]
        if native:
            first: dict[str, Any] = {"text": "a", "meta_info": {"finish_reason": None}}
            meta = {**usage, "finish_reason": {"type": "length", "length": limit}}
            if reply.sanitizer is not None and body.get("return_kv_sanitizer"):
                meta["kv_sanitizer"] = reply.sanitizer
            end = {"text": f"a {reply.text}", "meta_info": meta}
        else:
            first = {"choices": [{"text": "a", "delta": {"content": "a"}, "finish_reason": None}]}
            choice = {"text": "b", "delta": {"content": "b"}, "finish_reason": "length"}
            end = {"choices": [choice], "usage": usage}
        if reply.error:
            end = {"error": {"message": "scripted"}}
        opening = [] if native else [{"choices": [{"delta": {"role": "assistant"}}]}]
        events = [b"data: %s\n\n" % json.dumps(one).encode() for one in (*opening, first, end)]
        if reply.is_cut:
            return events[:-1]
        if reply.comment:
            events.append(f": {reply.comment}\n\n".encode())
        return events if reply.error else [*events, b"data: [DONE]\n\n"]


def prompt_tokens(body: dict[str, Any]) -> int:
    """As the target counts: a token id is one, a word one and a half; a template is added."""
    if "input_ids" in body:
        return len(body["input_ids"])
    text = body.get("text") or body.get("prompt") or body["messages"][0]["content"]
    return TEMPLATE_TOKENS + round(TOKENS_PER_WORD * len(text.split()))


async def _main() -> None:
    async with Target(reads_bodies=False) as target:
        print(target.address, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
