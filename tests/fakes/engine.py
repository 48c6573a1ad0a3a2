"""A scripted engine replica on a real socket: the SGLang-like API, with faults on demand.

Token ``i`` of every answer is `` w<i>`` (id ``1000 + i``), and a continuation goes on from the
words of its prefix, so a test can tell one coherent answer from two glued ones.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Self

from aiohttp import web
from aiohttp.typedefs import Handler

from tests.fakes.routes import ROUTES, TYPED_ROUTES
from tests.fakes.script import (
    DRAFTS,
    HEALTHY,
    Chunks,
    Fault,
    Script,
    Sent,
    Step,
    max_tokens_of,
    prefix_length,
    steps,
)
from tests.fakes.typed_script import MessagesChunks, ResponsesChunks, TypedChunks

AnyChunks = Chunks | MessagesChunks | ResponsesChunks


@dataclass
class FakeEngine:
    """A replica. Use as ``async with FakeEngine() as engine``.

    Attributes:
        answer_tokens: length of every answer.
        is_stock: behaves like stock SGLang: acceptance only at the end, no token ids on streamed
            chat.
        is_llama: says that it is llama.cpp, whose Messages go on from a prefix.
        is_loading: answers 503 to everything.
        is_paced: lets the reader run after every step, so that steps are not merged into one read.
        scripts: how the next generations behave, in order; then ``default``.
        generations, aborts, other_requests: what was asked of it.
        open_streams: generations that still run.
    """

    answer_tokens: int = 40
    is_stock: bool = False
    is_llama: bool = False
    is_loading: bool = False
    is_paced: bool = False
    default: Script = HEALTHY
    scripts: deque[Script] = field(default_factory=deque)
    generations: list[Sent] = field(default_factory=list)
    aborts: list[str] = field(default_factory=list)
    other_requests: list[tuple[str, str, bytes, dict[str, str]]] = field(default_factory=list)
    open_streams: int = 0
    resume: asyncio.Event = field(default_factory=asyncio.Event)
    address: str = ""
    _runner: web.AppRunner | None = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def rids(self) -> list[str]:
        """Request ids of its generations."""
        return [str(sent.body.get("rid")) for sent in self.generations]

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26, middlewares=[self._refuse_while_loading])
        for path in (*ROUTES, *TYPED_ROUTES):
            app.router.add_post(path, self._generate)
        app.router.add_post("/abort_request", self._abort)
        app.router.add_post("/v1/embeddings", self._hang)
        identity = "/props" if self.is_llama else "/server_info"
        app.router.add_get(identity, self._props if self.is_llama else self._server_info)
        app.router.add_get("/v1/models", self._models)
        app.router.add_route("*", "/{path:.*}", self._other)
        self._runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Closes the port and every connection: the replica refuses from now on."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def wait_for(self, *, aborts: int = 0, open_streams: int | None = None) -> None:
        """Returns once so many aborts came and so many streams are open."""

        def is_met() -> bool:
            has_streams = open_streams is None or self.open_streams == open_streams
            return len(self.aborts) >= aborts and has_streams

        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(is_met)

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _server_info(self, _: web.Request) -> web.Response:
        info = {"version": "0.5.23", "speculative_algorithm": "EAGLE", "speculative_eagle_topk": 1}
        info |= {"speculative_num_steps": DRAFTS, "speculative_num_draft_tokens": DRAFTS + 1}
        if not self.is_stock:
            info["engine"] = "specwatch"
        return web.json_response(info)

    async def _props(self, _: web.Request) -> web.Response:
        return web.json_response({"build_info": "b11434-fake"})

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "fake-model", "max_model_len": 4096}]})

    async def _abort(self, request: web.Request) -> web.Response:
        self.aborts.append((await request.json())["rid"])
        await self._note()
        return web.json_response({})

    async def _other(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.other_requests.append((request.method, request.path_qs, body, headers))
        return web.Response(
            status=207, body=b"echo:" + body, headers={"x-fake": "yes", "content-type": "text/x"}
        )

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        sent = Sent(request.path, await request.json(), dict(request.headers))
        self.generations.append(sent)
        script = self.scripts.popleft() if self.scripts else self.default
        if script.fault is Fault.STATUS:
            return web.json_response({"error": {"message": "scripted"}}, status=script.status)
        if script.fault is Fault.STALL_HEAD:
            return await self._hang(request)
        if not sent.body.get("stream") or sent.body.get("previous_response_id"):
            return web.json_response({"whole": True})
        self.open_streams += 1
        await self._note()
        try:
            return await self._stream(request, sent, script)
        finally:
            self.open_streams -= 1
            await self._note()

    @web.middleware
    async def _refuse_while_loading(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        if self.is_loading:
            return web.json_response({"error": {"message": "loading"}}, status=503)
        return await handler(request)

    async def _hang(self, request: web.Request) -> web.StreamResponse:
        """Reads the request; then not even a head."""
        await request.read()
        self.open_streams += 1
        await self._note()
        try:
            await asyncio.Event().wait()
            raise AssertionError("an event that nobody sets")
        finally:
            self.open_streams -= 1
            await self._note()

    async def _stream(self, request: web.Request, sent: Sent, script: Script) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        chunks = _chunks(sent, self.is_stock)
        for event in chunks.opening():
            await response.write(event)
        limit = max_tokens_of(sent)
        start = prefix_length(sent)
        total = min(self.answer_tokens - start, self.answer_tokens if limit is None else limit)
        reason = "length" if start + total < self.answer_tokens else "stop"
        is_whole = True
        if total <= 0:  # a continuation of a whole answer ends at once
            await response.write(chunks.step(Step([], [], 0, 0), "stop"))
        for step in steps(start, total, script):
            if _is_due(script, sent.completion_tokens):
                is_whole = False
                break
            if script.pause_after is not None and sent.completion_tokens >= script.pause_after:
                await self.resume.wait()
            sent.completion_tokens += len(step.token_ids)
            is_last = sent.completion_tokens >= total
            has_reason = is_last and script.fault is not Fault.NO_FINISH
            await response.write(chunks.step(step, reason if has_reason else None))
            for _ in range(8 if self.is_paced else 0):
                await asyncio.sleep(0)
        if not is_whole and await self._break(request, response, script, chunks):
            return response
        if script.fault is Fault.CUT_AFTER_FINISH:
            _cut(request)
            return response
        for event in chunks.closing():
            await response.write(event)
        if not isinstance(chunks, TypedChunks):
            await response.write(b"data: [DONE]\n\n")
        return response

    async def _break(
        self, request: web.Request, response: web.StreamResponse, script: Script, chunks: AnyChunks
    ) -> bool:
        """Acts out the fault; returns whether nothing follows."""
        fault = script.fault
        if fault is Fault.CUT:
            await response.write(b'data: {"half')
            _cut(request)
        elif fault is Fault.STALL:
            await asyncio.Event().wait()
        elif fault is Fault.BAD_JSON:
            await response.write(b'data: {"text": nonsense}\n\n')
        elif fault is Fault.BAD_SSE:
            await response.write(b"<html>502 Bad Gateway</html>\n\n")
        elif fault is Fault.ERROR_EVENT or (
            fault is Fault.ENGINE_ABORT and isinstance(chunks, TypedChunks)
        ):
            await response.write(chunks.error())
        elif fault is Fault.ENGINE_ABORT:
            await response.write(chunks.step(Step([], [], 0, 0), "abort"))
        return True


def _chunks(sent: Sent, is_stock: bool) -> AnyChunks:
    if sent.path == "/v1/messages":
        return MessagesChunks(sent, is_stock)
    if sent.path == "/v1/responses":
        return ResponsesChunks(sent, is_stock)
    return Chunks(sent, is_stock)


def _is_due(script: Script, completion_tokens: int) -> bool:
    breaking = (
        Fault.CUT,
        Fault.STALL,
        Fault.BAD_JSON,
        Fault.BAD_SSE,
        Fault.ERROR_EVENT,
        Fault.ENGINE_ABORT,
    )
    return script.fault in breaking and completion_tokens >= script.after


def _cut(request: web.Request) -> None:
    transport = request.transport
    assert transport is not None
    transport.abort()
