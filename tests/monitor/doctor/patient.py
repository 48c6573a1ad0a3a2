"""A replica for the doctor: each engine's pages and chat, well or not."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

PAGES: dict[str, dict[str, Any]] = {
    "integrated": {"/server_info": {"version": "0.1.0", "engine": "specwatch"}},
    "sglang": {"/server_info": {"version": "0.5.23", "disaggregation_mode": "null"}},
    "vllm": {"/version": {"version": "0.32.0"}},
    "llamacpp": {"/props": {"build_info": "b11434-1"}},
    "openai": {},
}
PREFIX = {"integrated": "sglang:", "sglang": "sglang:", "vllm": "vllm:", "llamacpp": "llamacpp:"}
LOAD = {
    "sglang:": ("num_running_reqs", "num_queue_reqs", "token_usage"),
    "vllm:": ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"),
    "llamacpp:": ("requests_processing", "requests_deferred"),
}
_DRAFTS = {"speculative_num_steps": 3, "speculative_num_draft_tokens": 4}


@dataclass
class Patient:
    """One replica.

    Attributes:
        version: another one than the newest that is known.
        has_metrics, renames: without metrics, or with a load metric under a new name.
        runs_on: an aborted generation does not end.
        key: needed by every page.
        busy: requests of others that run.
        generations, aborts: what was asked.
    """

    engine: str
    version: str | None = None
    info: dict[str, Any] = field(default_factory=dict)
    has_metrics: bool = True
    renames: bool = False
    runs_on: bool = False
    refuses_aborts: bool = False
    key: str | None = None
    busy: int = 0
    generations: list[dict[str, Any]] = field(default_factory=list)
    aborts: list[str] = field(default_factory=list)
    running: int = 0

    def app(self) -> web.Application:
        """Its routes."""
        app = web.Application(middlewares=[self._gate])
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/abort_request", self._abort)
        app.router.add_get("/{path:.*}", self._page)
        return app

    @web.middleware
    async def _gate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        given = request.headers.get("authorization")
        if self.key is not None and given != f"Bearer {self.key}":
            return web.json_response({"error": "no key"}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _page(self, request: web.Request) -> web.Response:
        if request.path == "/metrics" and self.has_metrics and self.engine in PREFIX:
            return web.Response(text=self._metrics())
        if request.path == "/v1/models":
            return web.json_response({"data": [{"id": "m"}]})
        page = PAGES[self.engine].get(request.path)
        if page is None:
            return web.json_response({}, status=404)
        told = {**page, **self.info}
        if request.path == "/server_info":
            told |= _DRAFTS
        if self.version is not None:
            told["version"] = self.version
        return web.json_response(told)

    def _metrics(self) -> str:
        prefix = PREFIX[self.engine]
        first, *rest = (prefix + name for name in LOAD[prefix])
        if self.renames:
            rest[0] += "_v2"
        lines = [f"{first} {self.running + self.busy}", *(f"{name} 0" for name in rest)]
        if self.engine == "vllm":
            lines.append("vllm:spec_decode_num_drafts_total 1")
        return "\n".join(lines) + "\n"

    async def _abort(self, request: web.Request) -> web.Response:
        if self.refuses_aborts:
            return web.json_response({}, status=403)
        self.aborts.append((await request.json())["rid"])
        return web.json_response({})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.generations.append(body)
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        self.running += 1
        try:
            for payload in self._chunks(body):
                if body.get("rid") in self.aborts and not self.runs_on:
                    break
                await response.write(f"data: {json.dumps(payload)}\n\n".encode())
                await asyncio.sleep(0.01)
            await response.write(b"data: [DONE]\n\n")
        except ConnectionError:
            if self.runs_on:
                await asyncio.Event().wait()  # as an engine that does not see who left
        finally:
            self.running -= 1
        return response

    def _chunks(self, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Steps of two tokens: one of three drafts accepted."""
        limit = body["max_tokens"]
        for step in range(1, limit // 2 + 1):
            choice: dict[str, Any] = {"index": 0, "delta": {"content": f" a{step} b{step}"}}
            choice["finish_reason"] = "length" if step == limit // 2 else None
            payload: dict[str, Any] = {"object": "chat.completion.chunk", "choices": [choice]}
            payload |= {"id": "1", "model": "m"}
            usage = {"prompt_tokens": 3, "completion_tokens": 2 * step, "total_tokens": 3}
            if self.engine in ("integrated", "sglang"):
                payload["usage"] = usage
            if self.engine == "integrated":
                details = {"spec_verify_ct": step, "spec_num_correct_drafts": step}
                details |= {"spec_num_proposed_drafts": 3 * step, "completion_tokens": 2 * step}
                payload["sglext"] = {"spec_tokens_details": details}
            if self.engine == "vllm":
                choice["token_ids"] = [2 * step, 2 * step + 1]
            if self.engine == "llamacpp":
                counts = {"predicted_n": 2 * step, "draft_n": 3 * step, "draft_n_accepted": step}
                payload["timings"] = counts
            yield payload


@asynccontextmanager
async def served(patient: Patient, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Its address."""
    runner = web.AppRunner(
        patient.app(),
        handler_cancellation=not patient.runs_on,
        access_log=None,
        shutdown_timeout=0.1,
    )
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    port = runner.addresses[0][1]
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
    finally:
        await runner.cleanup()
