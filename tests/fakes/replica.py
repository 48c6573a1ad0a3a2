"""A replica as a process of its own, without a model: ``python tests/fakes/replica.py --port 1``.

Speaks as much of the integrated engine's API as the demo uses, its drills included. A damaged
generation has the acceptance that real damage has; its text is only numbered words.
"""

import argparse
import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

DRAFTS = 3
HEALTHY_ACCEPTED = 2
MODEL = "fake"

SGLANG_METRICS = """\
sglang:num_running_reqs{{model_name="fake"}} {running}
sglang:num_queue_reqs{{model_name="fake"}} 0
sglang:token_usage{{model_name="fake"}} 0.25
sglang:generation_tokens_total{{model_name="fake"}} {tokens}
sglang:spec_verify_calls_total{{model_name="fake"}} {steps}
sglang:num_retracted_requests_total{{model_name="fake"}} 0
sglang:num_aborted_requests_total{{model_name="fake"}} 0
sglang:time_to_first_token_seconds_count{{model_name="fake"}} {started}
sglang:time_to_first_token_seconds_sum{{model_name="fake"}} {started}
sglang:e2e_request_latency_seconds_count{{model_name="fake"}} {ended}
sglang:e2e_request_latency_seconds_sum{{model_name="fake"}} {ended}
specwatch_engine_proposed_drafts_total{{model_name="fake"}} {drafted}
specwatch_engine_correct_drafts_total{{model_name="fake"}} {accepted}
"""
VLLM_METRICS = """\
vllm:num_requests_running{{engine="0",model_name="fake"}} {running}
vllm:num_requests_waiting{{engine="0",model_name="fake"}} 0
vllm:kv_cache_usage_perc{{engine="0",model_name="fake"}} 0.25
vllm:generation_tokens_total{{engine="0",model_name="fake"}} {tokens}
vllm:spec_decode_num_drafts_total{{engine="0",model_name="fake"}} {steps}
vllm:spec_decode_num_draft_tokens_total{{engine="0",model_name="fake"}} {drafted}
vllm:spec_decode_num_accepted_tokens_total{{engine="0",model_name="fake"}} {accepted}
vllm:spec_decode_num_accepted_tokens_per_pos_total{{engine="0",position="0"}} {accepted}
"""


@dataclass(slots=True)
class Record:
    """One damaged generation, as GET /faults tells it."""

    rid: str
    kind: str
    damaged_from_token: int
    completion_tokens: int = 0
    finish_reason: str | None = None


@dataclass(slots=True)
class Counters:
    """Cumulative counts of one generation."""

    tokens: int = 0
    steps: int = 0
    accepted: int = 0


@dataclass(slots=True)
class Replica:
    """What the process remembers."""

    admin_key: str
    plan: dict[str, Any] | None = None
    records: list[Record] = field(default_factory=list)
    started: int = 0
    running: int = 0
    ended: int = 0
    total: Counters = field(default_factory=Counters)

    def metrics(self, prefix: str) -> str:
        """As SGLang or vLLM tells them."""
        total = self.total
        told = SGLANG_METRICS if prefix == "sglang" else VLLM_METRICS
        values = {
            "running": self.running,
            "started": self.started,
            "ended": self.ended,
            "tokens": total.tokens,
            "steps": total.steps,
            "accepted": total.accepted,
            "drafted": total.steps * DRAFTS,
        }
        return told.format(**values)

    def begin(self, rid: str) -> Record | None:
        """The damage of a new generation: every one is damaged while a plan with a rate is set."""
        self.started += 1
        if self.plan is None or self.plan["rate"] == 0:
            return None
        record = Record(rid, self.plan["kind"], self.plan["after_tokens"])
        self.records.append(record)
        return record


def generate(limit: int, damage: Record | None) -> Iterator[tuple[str, Counters]]:
    """One step at a time: its text, and the counts so far."""
    counters = Counters()
    while counters.tokens < limit:
        is_damaged = damage is not None and counters.tokens >= damage.damaged_from_token
        accepted = min(0 if is_damaged else HEALTHY_ACCEPTED, limit - counters.tokens - 1)
        word = "salad" if is_damaged else "word"
        text = "".join(f"{word}{counters.tokens + i} " for i in range(accepted + 1))
        counters.tokens += accepted + 1
        counters.steps += 1
        counters.accepted += accepted
        yield text, counters


def chunk(rid: str, delta: dict[str, Any], finish: str | None, counters: Counters) -> bytes:
    """One chunk of a streamed chat, with the counters that the proxy asks for."""
    drafted = counters.steps * DRAFTS
    details = {
        "spec_verify_ct": counters.steps,
        "spec_accept_length": counters.tokens / max(1, counters.steps),
        "spec_accept_rate": counters.accepted / max(1, drafted),
        "spec_num_correct_drafts": counters.accepted,
        "spec_num_proposed_drafts": drafted,
        "completion_tokens": counters.tokens,
    }
    body = {
        "id": rid,
        "object": "chat.completion.chunk",
        "created": 1,
        "model": MODEL,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        "usage": {"prompt_tokens": 5, "completion_tokens": counters.tokens, "total_tokens": 5},
        "sglext": {"spec_tokens_details": details},
    }
    return f"data: {json.dumps(body)}\n\n".encode()


REPLICA = web.AppKey("replica", Replica)
ENGINE = web.AppKey("engine", str)
STEP_SECONDS = web.AppKey("step_seconds", float)  # a step takes time, so that generations overlap


async def chat(request: web.Request) -> web.StreamResponse:
    """A streamed chat of exactly ``max_tokens`` tokens."""
    body = await request.json()
    rid, limit = body.get("rid", "none"), int(body["max_tokens"])
    replica = request.app[REPLICA]
    damage = replica.begin(rid)
    step_seconds = request.app[STEP_SECONDS]
    if damage is not None and replica.plan is not None:
        step_seconds = replica.plan.get("step_seconds", step_seconds)
    replica.running += 1
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    finish = "abort"
    try:
        await response.write(chunk(rid, {"role": "assistant", "content": ""}, None, Counters()))
        tokens = 0
        for text, counters in generate(limit, damage):
            replica.total.tokens += counters.tokens - tokens
            replica.total.accepted += counters.tokens - tokens - 1
            replica.total.steps += 1
            tokens = counters.tokens
            if damage is not None:
                damage.completion_tokens = counters.tokens
            reason = "length" if counters.tokens == limit else None
            await response.write(chunk(rid, {"content": text}, reason, counters))
            await asyncio.sleep(step_seconds)
        await response.write(b"data: [DONE]\n\n")
        finish = "length"
    finally:
        replica.running -= 1
        replica.ended += 1
        if damage is not None:
            damage.finish_reason = finish
    return response


async def read_faults(request: web.Request) -> web.Response:
    """The plan and what was damaged."""
    replica = request.app[REPLICA]
    if request.headers.get("authorization") != f"Bearer {replica.admin_key}":
        return web.json_response({"error": {"message": "wrong key"}}, status=401)
    if request.method == "POST":
        plan = await request.json()
        replica.plan = None if plan["kind"] is None else plan
    fields = ("rid", "kind", "damaged_from_token", "completion_tokens", "finish_reason")
    records = [{name: getattr(record, name) for name in fields} for record in replica.records]
    return web.json_response({"plan": replica.plan, "records": records})


async def ready(_request: web.Request) -> web.Response:
    """At once."""
    return web.json_response({"status": "ok"})


async def models(_request: web.Request) -> web.Response:
    """One."""
    return web.json_response({"object": "list", "data": [{"id": MODEL, "object": "model"}]})


async def server_info(_request: web.Request) -> web.Response:
    """Says what the integrated engine says of itself."""
    return web.json_response(
        {
            "version": "0",
            "engine": "specwatch",
            "speculative_num_draft_tokens": DRAFTS + 1,
            "speculative_num_steps": DRAFTS,
        }
    )


async def metrics(request: web.Request) -> web.Response:
    """By the engine that it plays."""
    return web.Response(text=request.app[REPLICA].metrics(request.app[ENGINE]))


async def version(_request: web.Request) -> web.Response:
    """By this a vLLM is known."""
    return web.json_response({"version": "0.32.0"})


def build_app(
    admin_key: str, engine: str = "sglang", step_seconds: float = 0.0005
) -> web.Application:
    """All routes.

    Args:
        engine: that it says it is: ``sglang`` or ``vllm``.
    """
    app = web.Application()
    app[ENGINE] = engine
    app[STEP_SECONDS] = step_seconds
    app.router.add_get("/metrics", metrics)
    app[REPLICA] = Replica(admin_key)
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/faults", read_faults)
    app.router.add_post("/faults", read_faults)
    app.router.add_post("/abort_request", ready)
    app.router.add_get("/ready", ready)
    app.router.add_get("/health", ready)
    app.router.add_get("/v1/models", models)
    if engine == "vllm":
        app.router.add_get("/version", version)
    else:
        app.router.add_get("/server_info", server_info)
    return app


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--admin-key", default="")
    parser.add_argument("--engine", choices=("sglang", "vllm"), default="sglang")
    parser.add_argument("--step-seconds", type=float, default=0.0005)
    parser.add_argument("--fail", action="store_true", help="die while starting")
    arguments = parser.parse_args()
    if arguments.fail:
        raise SystemExit("loading the model failed")
    app = build_app(arguments.admin_key, arguments.engine, arguments.step_seconds)
    web.run_app(app, host="127.0.0.1", port=arguments.port, print=None)


if __name__ == "__main__":
    main()
