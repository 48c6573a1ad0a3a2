"""The router over scripted replicas: both legs get the fields, early ends reach the right side."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from inference_backend.disaggregation.router import (
    DOWN_SECONDS,
    PrefillAddress,
    Turns,
    build_router,
)


@dataclass
class FakeReplica:
    """Remembers bodies; ``status`` and ``gate`` say how it answers."""

    status: int = 200
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    closed: int = 0
    url: str = ""

    async def generate(self, request: Request) -> Response:
        self.bodies.append(msgspec.json.decode(await request.body()))
        if self.status != 200:
            return JSONResponse({"error": {"message": "no"}}, self.status)
        while not self.gate.is_set():
            if await request.is_disconnected():
                self.closed += 1
                return Response()
            await asyncio.sleep(0.01)
        return StreamingResponse(iter([b"data: a\n\n", b"data: [DONE]\n\n"]), headers={"x-a": "b"})

    async def health(self, _: Request) -> Response:
        return Response(status_code=self.status)

    async def abort(self, _: Request) -> Response:
        return JSONResponse({"aborted": 1})


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    config = uvicorn.Config(app, port=0, log_level="warning", lifespan="on")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        await server.shutdown()


@asynccontextmanager
async def routed(
    prefill: FakeReplica, decode: FakeReplica, *, dead_prefills: int = 0
) -> AsyncIterator[httpx.AsyncClient]:
    def app(replica: FakeReplica) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/chat/completions", replica.generate, methods=["POST"]),
                Route("/health", replica.health),
                Route("/abort_request", replica.abort, methods=["POST"]),
            ]
        )

    async with served(app(prefill)) as prefill.url, served(app(decode)) as decode.url:
        address = PrefillAddress(prefill.url, "10.0.0.7", 8998)
        dead = PrefillAddress("http://127.0.0.1:9", "10.0.0.8", 8998)
        router = build_router([address, *[dead] * dead_prefills], [decode.url])
        async with served(router) as url, httpx.AsyncClient(base_url=url, timeout=10) as client:
            yield client


def open_replica(**options: Any) -> FakeReplica:
    replica = FakeReplica(**options)
    replica.gate.set()
    return replica


async def test_both_legs_carry_the_same_room_and_the_answer_is_decode_s() -> None:
    prefill, decode = open_replica(), open_replica()
    async with routed(prefill, decode) as client:
        asked = {"messages": [], "stream": True, "x": 1}
        answers = [await client.post("/v1/chat/completions", json=asked) for _ in range(2)]
    assert answers[0].content == b"data: a\n\ndata: [DONE]\n\n"
    assert answers[0].headers["x-a"] == "b"
    rooms = [body["bootstrap_room"] for body in decode.bodies]
    assert rooms == [body["bootstrap_room"] for body in prefill.bodies]
    assert rooms[0] != rooms[1]
    for body in decode.bodies:
        assert (body["bootstrap_host"], body["bootstrap_port"]) == ("10.0.0.7", 8998)
        assert body["stream"] is True
        assert body["x"] == 1


async def test_what_the_prefill_refuses_is_answered_at_once_and_decode_is_let_go() -> None:
    prefill, decode = open_replica(status=400), FakeReplica()
    async with routed(prefill, decode) as client:
        answer = await client.post("/v1/chat/completions", json={"messages": []})
        assert answer.status_code == 400
        await until(lambda: decode.closed == 1)


async def test_a_replica_that_is_not_there() -> None:
    prefill, decode = open_replica(), open_replica()
    async with routed(prefill, decode) as client:
        router = build_router([PrefillAddress("http://127.0.0.1:9", "127.0.0.1", 1)], [decode.url])
        async with served(router) as url:
            answer = await client.post(url + "/v1/chat/completions", json={"messages": []})
            health = await client.get(url + "/health")
    assert answer.status_code in (200, 503)  # decode may have answered first
    assert health.status_code == 503
    assert "127.0.0.1:9" in health.json()["error"]["message"]


async def test_a_client_that_leaves_closes_both_legs() -> None:
    prefill, decode = FakeReplica(), FakeReplica()
    async with routed(prefill, decode) as client:
        asking = asyncio.ensure_future(client.post("/v1/chat/completions", json={"messages": []}))
        await until(lambda: bool(prefill.bodies and decode.bodies))
        asking.cancel()
        await until(lambda: prefill.closed == decode.closed == 1)


async def test_bad_json_and_aborts() -> None:
    async with routed(open_replica(), open_replica()) as client:
        for body in (b"{", b'{"a": "\xff"}', b"[" * 100_000, b"[]"):
            assert (await client.post("/v1/chat/completions", content=body)).status_code == 400
        assert (await client.post("/abort_request", json={"rid": "x"})).json() == {"aborted": 2}
        assert (await client.get("/health")).status_code == 200


async def until(holds: Any) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  # other tasks are waited for
            await asyncio.sleep(0.01)


def test_a_replica_that_could_not_be_reached_is_left_out_for_a_while() -> None:
    turns = Turns(["a", "b", "c"])
    assert [turns.take(0.0) for _ in range(4)] == ["a", "b", "c", "a"]
    turns.failed("b", 0.0)
    assert [turns.take(1.0) for _ in range(3)] == ["c", "a", "c"]
    assert {turns.take(DOWN_SECONDS) for _ in range(3)} == {"a", "b", "c"}
    for name in "abc":
        turns.failed(name, 10.0)
    assert {turns.take(10.0) for _ in range(3)} == {"a", "b", "c"}, "better than none"


async def test_requests_go_round_a_dead_prefill() -> None:
    """The first one that meets it fails, the next ones do not."""
    prefill, decode = open_replica(), open_replica()
    async with routed(prefill, decode, dead_prefills=1) as client:
        statuses = [
            (await client.post("/v1/chat/completions", json={})).status_code for _ in range(6)
        ]
    assert sorted(statuses) == [200] * 5 + [503]
