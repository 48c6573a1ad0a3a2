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


async def chat(request: web.Request) -> web.StreamResponse:
    """A streamed chat of exactly ``max_tokens`` tokens."""
    body = await request.json()
    rid, limit = body["rid"], int(body["max_tokens"])
    damage = request.app[REPLICA].begin(rid)
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    finish = "abort"
    try:
        await response.write(chunk(rid, {"role": "assistant", "content": ""}, None, Counters()))
        for text, counters in generate(limit, damage):
            if damage is not None:
                damage.completion_tokens = counters.tokens
            reason = "length" if counters.tokens == limit else None
            await response.write(chunk(rid, {"content": text}, reason, counters))
            await asyncio.sleep(0.0005)  # a step takes time, so that generations overlap
        await response.write(b"data: [DONE]\n\n")
        finish = "length"
    finally:
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


def build_app(admin_key: str) -> web.Application:
    """All routes."""
    app = web.Application()
    app[REPLICA] = Replica(admin_key)
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/faults", read_faults)
    app.router.add_post("/faults", read_faults)
    app.router.add_post("/abort_request", ready)
    app.router.add_get("/ready", ready)
    app.router.add_get("/health", ready)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/server_info", server_info)
    return app


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--admin-key", default="")
    parser.add_argument("--fail", action="store_true", help="die while starting")
    arguments = parser.parse_args()
    if arguments.fail:
        raise SystemExit("loading the model failed")
    web.run_app(build_app(arguments.admin_key), host="127.0.0.1", port=arguments.port, print=None)


if __name__ == "__main__":
    main()
