"""Everything else goes to a replica and back as it is."""

import pytest
from fastapi import APIRouter

from retry_proxy.app import build_app
from retry_proxy.config import ProxyConfig
from retry_proxy.fleet import Fleet
from tests.fakes.asgi_client import post, start
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import proxy_for
from tests.fakes.script import Fault, Script
from tests.fakes.sink import RecordingSink


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_method_path_query_body_and_headers_arrive(method: str) -> None:
    headers = [
        ("host", "proxy"),
        ("x-mine", "1"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "dropped"),
        ("transfer-encoding", "chunked"),
        ("accept-encoding", "gzip"),
        ("content-type", "text/odd"),
    ]
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        exchange = start(proxy.app, method, "/any%20path/x?a=1&b=%2F", b"body", headers=headers)
        got = await exchange.finish()
    seen = next(r for r in engine.other_requests if r[1].startswith("/any"))
    assert seen[:3] == (method, "/any%20path/x?a=1&b=%2F", b"body")
    assert seen[3]["x-mine"] == "1"
    assert seen[3]["accept-encoding"] == "gzip"
    assert seen[3]["content-type"] == "text/odd"
    assert "x-hop" not in seen[3]
    assert (got.status, got.body, got.headers["x-fake"]) == (207, b"echo:body", "yes")


async def test_a_body_in_pieces_streams_through() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        got = await post(proxy.app, "/upload", [b"one,", b"two,", b"three"])
    assert got.body == b"echo:one,two,three"


async def test_a_refusing_replica_is_skipped() -> None:
    async with FakeEngine() as gone, FakeEngine() as healthy, proxy_for(gone, healthy) as proxy:
        await gone.stop()
        for _ in range(3):
            got = await post(proxy.app, "/tokenize", [b"a", b"b"])
            assert got.body == b"echo:ab"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/generate", {"text": ["a", "b"]}),
        ("/generate", {"text": "a", "sampling_params": {"n": 2}}),
        ("/v1/completions", {"prompt": ["a"] * 17}),
        ("/v1/chat/completions", {"messages": [], "n": 17}),
        ("/v1/chat/completions", {"messages": [], "return_meta_info": True}),
    ],
)
async def test_generations_that_cannot_be_watched_pass_through(
    path: str, body: dict[str, object]
) -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        got = await post(proxy.app, path, body)
    assert got.json() == {"whole": True}
    assert engine.generations[0].body == body
    assert len(got.headers["x-specwatch-request-id"]) == 32
    assert got.headers["x-specwatch-verdict"] == "unwatched"


async def test_the_engines_error_passes_through() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        engine.default = Script(Fault.STATUS, status=500)
        got = await post(proxy.app, "/generate", {"text": ["a"]})
    assert got.status == 500


async def test_routers_come_before_the_pass_through() -> None:
    router = APIRouter()

    @router.get("/health")
    def health() -> dict[str, bool]:
        return {"ours": True}

    sink = RecordingSink()
    async with FakeEngine() as engine:
        config = ProxyConfig(replicas=(engine.address,))
        fleet = Fleet(config, sink)
        app = build_app(config, sink=sink, fleet=fleet, routers=[router])
        async with app.router.lifespan_context(app):
            ours = await start(app, "GET", "/health").finish()
            theirs = await start(app, "GET", "/openapi.json").finish()
    assert ours.json() == {"ours": True}
    assert theirs.body == b"echo:"
