"""A replica that speaks as vLLM does, answers letters word by word, and falls sick on demand.

A continuation goes on from the words of its prefix, so an answer that was continued elsewhere can
be told from two glued ones.
"""

import asyncio
import enum
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

TOKENS = 60  # of every healthy answer; a token is a word
FIRST_BAD_TOKEN = 20
CUT_AFTER_TOKENS = 40
TOKEN_SECONDS = 0.01
MODEL = "letters"
MALFORMED = b'data: {"choices": [{"index": 0, "delta": {"content": " wor\n\n'

NAMES = (
    *("Alice", "Bruno", "Clara", "David", "Emma", "Felix", "Greta", "Henry", "Irene", "James"),
    *("Karen", "Louis", "Maria", "Nora", "Oscar", "Paula", "Robert", "Sarah", "Thomas", "Vera"),
)
LETTER = (
    "thank you for the kind letter that reached us on Monday. The garden is doing well this year,"
    " and the old apple tree by the gate carries more fruit than ever before. My sister wants to"
    " bake bread with some of it and will bring you a basket when she comes to town next week."
    " Please write soon."
)
SALAD = (
    *("lavel", "refere", "betray", "ofealyx", "enduro", "pymig", "whosebut", "Codexis", "tohor"),
    *("sburya", "Deaby", "vulnera", "blankad", "ivelyso", "quorpa", "zelnit", "omsfor", "gethri"),
)


class Fault(enum.Enum):
    """What goes wrong on the faulty replica."""

    NONE = "none"
    REFUSED = "connection refused"
    ERROR_500 = "500"
    ERROR_503 = "503"
    CUT_FIRST = "cut before the first token"
    STALL_FIRST = "stall before the first token"
    CUT_LATE = "cut after 40 of 60 tokens"
    STALL_LATE = "stall after 20"
    MALFORMED = "malformed event after 20"
    LOOP = 'loop "the the the" after 20'
    MARKS = 'garbage "!!!!" after 20'
    SALAD = "word salad after 20"


STATUSES = {Fault.ERROR_500: 500, Fault.ERROR_503: 503}
CUTS = {Fault.CUT_FIRST: 0, Fault.CUT_LATE: CUT_AFTER_TOKENS}
SICK_TEXT = (Fault.LOOP, Fault.MARKS, Fault.SALAD)
STALLS = {Fault.STALL_FIRST: 0, Fault.STALL_LATE: FIRST_BAD_TOKEN}


def answer(name: str) -> list[str]:
    """The tokens of the one right answer to ``name``."""
    words = f"Dear {name}, {LETTER}".split()
    assert len(words) == TOKENS, len(words)
    return [words[0], *(f" {word}" for word in words[1:])]


def bad_token(fault: Fault, place: int) -> str:
    """Text of a sick token."""
    if fault is Fault.LOOP:
        return " the"
    return "!!!!" if fault is Fault.MARKS else f" {SALAD[place * 7 % len(SALAD)]}"


def tokens_of(fault: Fault, right: list[str], limit: int) -> list[str]:
    """The answer as this replica generates it: sick text runs on to the token limit."""
    if fault not in SICK_TEXT:
        return right[:limit]
    bad = [bad_token(fault, place) for place in range(max(0, limit - FIRST_BAD_TOKEN))]
    return [*right[:FIRST_BAD_TOKEN], *bad]


def request_body(name: str, limit: int) -> dict[str, Any]:
    """What the client sends."""
    messages = [{"role": "user", "content": f"Write a letter to {name}"}]
    return {"model": MODEL, "messages": messages, "stream": True, "max_tokens": limit}


def prefix_of(body: dict[str, Any]) -> str:
    """Text that the answer is to go on from, as vLLM is asked for it."""
    if not body.get("continue_final_message"):
        return ""
    assert not body.get("add_generation_prompt", True), "vLLM refuses both"
    return str(body["messages"][-1]["content"])


@dataclass
class Replica:
    """Use as ``async with Replica() as replica``; ``fall_sick`` begins the fault.

    Attributes:
        draw: the fault of the next chat, where each has one of its own.
        requests: chats that reached it since it fell sick.
        running: chats that it generates now.
    """

    fault: Fault = Fault.NONE
    draw: Callable[[], Fault] | None = None
    requests: int = 0
    running: int = 0
    port: int = 0
    _runner: web.AppRunner | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_get("/version", _json({"version": "0.11.0"}))
        app.router.add_get("/v1/models", _json({"object": "list", "data": [_MODEL_CARD]}))
        app.router.add_get("/health", _json({}))
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def fall_sick(self, fault: Fault) -> None:
        """From now on every chat has the fault; what asks for its health is not told."""
        self.fault, self.requests = fault, 0
        if fault is Fault.REFUSED:
            await self._close()

    async def _close(self) -> None:
        """Closes the port and idle connections."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests += 1
        fault = self.fault if self.draw is None else self.draw()
        if fault in STATUSES:
            error = {"message": "the fault", "type": "server_error", "code": 500}
            return web.json_response({"error": error}, status=STATUSES[fault])
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        self.running += 1
        try:
            await response.prepare(request)
            await self._stream(request, response, body, fault)
        finally:
            self.running -= 1
        return response

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        body: dict[str, Any],
        fault: Fault,
    ) -> None:
        name = str(body["messages"][0]["content"]).rpartition(" ")[2]
        right = answer(name)
        known = len(prefix_of(body).split())
        tokens = tokens_of(fault, right, known + int(body["max_tokens"]))[known:]
        reason = "stop" if tokens[-1:] == right[-1:] else "length"
        events = Events(body)
        for place, token in enumerate(tokens, start=known):
            if place == CUTS.get(fault):
                assert request.transport is not None
                return request.transport.abort()
            if place == STALLS.get(fault):
                await asyncio.Event().wait()
            if place == known:
                await response.write(events.role())
            await asyncio.sleep(TOKEN_SECONDS)
            if place == FIRST_BAD_TOKEN and fault is Fault.MALFORMED:
                await response.write(MALFORMED)
            await response.write(events.token(token))
        await response.write(events.closing(reason, known + len(tokens)))


class Events:
    """The events of one answer, with what the request asked for beside the text."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._has_ids = bool(body.get("return_token_ids"))
        self._has_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        self._base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1}

    def role(self) -> bytes:
        delta = {"role": "assistant", "content": ""}
        more = {"prompt_token_ids": [1, 2, 3]} if self._has_ids else {}
        return self._event({"choices": [{"index": 0, "delta": delta}], **more})

    def token(self, text: str) -> bytes:
        choice: dict[str, Any] = {"index": 0, "delta": {"content": text}, "finish_reason": None}
        if self._has_ids:
            choice["token_ids"] = [zlib.crc32(text.encode()) % 50_000]  # as a vocabulary would
        return self._event({"choices": [choice]})

    def closing(self, reason: str, tokens: int) -> bytes:
        """Finish reason, usage where asked for, and the end of the stream."""
        choice = {"index": 0, "delta": {}, "finish_reason": reason}
        events = self._event({"choices": [choice]})
        if self._has_usage:
            usage = {"prompt_tokens": 3, "completion_tokens": tokens, "total_tokens": 3 + tokens}
            events += self._event({"choices": [], "usage": usage})
        return events + b"data: [DONE]\n\n"

    def _event(self, payload: dict[str, Any]) -> bytes:
        return b"data: " + json.dumps({**self._base, "model": MODEL, **payload}).encode() + b"\n\n"


_MODEL_CARD = {"id": MODEL, "object": "model", "owned_by": "vllm", "max_model_len": 4096}


def _json(content: dict[str, Any]) -> Any:
    async def handle(_: web.Request) -> web.Response:
        return web.json_response(content)

    return handle
