"""Which headers travel, in both directions, over real sockets."""

import msgspec
import pytest

from retry_proxy.app import build_app
from retry_proxy.config import EngineName, ProxyConfig
from retry_proxy.fleet import Fleet
from tests.fakes.asgi_client import start
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import ALL_ROUTES, CHAT, Proxy, proxy_for, request_body
from tests.fakes.raw_server import NOT_FOUND, raw_server
from tests.fakes.served import send_bytes, served
from tests.fakes.sink import RecordingSink

HOP_BY_HOP = {
    "connection": "keep-alive, X-Named , x-other,",
    "keep-alive": "timeout=5",
    "proxy-authenticate": "Basic",
    "proxy-authorization": "Basic eDp5",
    "proxy-connection": "keep-alive",
    "te": "trailers",
    "trailer": "x-sum",
    "x-named": "1",
    "X-Other": "2",
}
ORIGIN = {
    "forwarded": "for=1.2.3.4",
    "x-forwarded-for": "1.2.3.4",
    "X-Forwarded-Host": "evil",
    "x-forwarded-proto": "https",
    "x-forwarded-prefix": "/a",
    "x-real-ip": "1.2.3.4",
}
KEPT = {"x-mine": "1", "traceparent": "00-1-2-01", "anthropic-version": "2023-06-01"}
OWN = {"host", "content-length", "content-type", "accept", "accept-encoding", "user-agent"}


def names(headers: dict[str, str]) -> set[str]:
    return {name.lower() for name in headers}


@pytest.mark.parametrize("path", [*ALL_ROUTES, "/v1/rerank"])
async def test_what_a_client_says_of_connection_and_origin_ends_here(path: str) -> None:
    sent = {"host": "proxy", **HOP_BY_HOP, **ORIGIN, **KEPT}
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        body = request_body(path)
        await start(proxy.app, "POST", path, body, headers=list(sent.items())).finish()
    others = [seen[3] for seen in engine.other_requests if seen[1] == path]
    got = others[0] if others else engine.generations[0].headers
    assert names(got) - OWN == names(KEPT)
    assert {name.lower(): value for name, value in got.items() if name.lower() in KEPT} == KEPT


ANSWER = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nserver: engine/1.2\r\nset-cookie: a=b\r\n"
    b"set-cookie: c=d\r\nkeep-alive: timeout=9\r\nconnection: close, x-named\r\nx-named: 1\r\n"
    b"x-mine: 1\r\nx-mine: 2\r\ncontent-type: application/json\r\n\r\n{}"
)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/rerank", {}),
        (CHAT, {"messages": [], "n": 17}),  # not watched
    ],
)
async def test_what_a_replica_says_of_itself_ends_here(path: str, body: object) -> None:
    async with raw_server(lambda _: ANSWER) as replica:
        config = ProxyConfig(replicas=(replica.address,), engine=EngineName.OPENAI)
        sink = RecordingSink()
        fleet = Fleet(config, sink)
        app = build_app(config, sink=sink, fleet=fleet)
        async with app.router.lifespan_context(app):
            got = await start(app, "POST", path, body).finish()
    assert got.status == 200
    told = names(got.headers) - {name for name in got.headers if name.startswith("x-specwatch")}
    assert told == {"content-length", "content-type", "x-mine"}


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_refusal_of_the_engine_keeps_its_own_headers_out(status: int) -> None:
    answer = ANSWER.replace(b"200 OK", b"%d No" % status)
    async with raw_server(lambda asked: answer if CHAT in asked else NOT_FOUND) as replica:
        config = ProxyConfig(replicas=(replica.address,), engine=EngineName.OPENAI)
        sink = RecordingSink()
        fleet = Fleet(config, sink)
        app = build_app(config, sink=sink, fleet=fleet)
        async with app.router.lifespan_context(app):
            got = await start(app, "POST", CHAT, request_body(CHAT)).finish()
    assert got.status == status
    assert not names(got.headers) & {"server", "set-cookie", "keep-alive", "x-named"}


@pytest.mark.parametrize("value", [b"a\rb", b"a\nx-injected: 1", b"a\x00b", b"a\r\n x-folded: 1"])
async def test_line_ends_within_a_value_of_the_client_are_refused(value: bytes) -> None:
    body = msgspec.json.encode(request_body(CHAT))
    async with FakeEngine() as engine, proxy_for(engine) as proxy, served(proxy) as address:
        for path in (CHAT, "/v1/rerank"):
            lines = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n"
            answer = await send_bytes(
                address, lines.encode() + b"x-mine: " + value + b"\r\n\r\n" + body
            )
            assert answer.startswith(b"HTTP/1.1 400 ")
    assert not engine.generations
    assert not [seen for seen in engine.other_requests if seen[1] == "/v1/rerank"]


@pytest.mark.parametrize("value", [b"a\rx-injected: 1", b"a\x00b", b"a\nx-injected: 1"])
async def test_line_ends_within_a_value_of_a_replica_reach_no_client(value: bytes) -> None:
    """The whole answer is a failure of the replica."""
    answer = ANSWER.replace(b"x-mine: 1", b"x-mine: " + value)
    async with raw_server(lambda _: answer) as replica:
        config = ProxyConfig(replicas=(replica.address,), engine=EngineName.OPENAI)
        sink = RecordingSink()
        fleet = Fleet(config, sink)
        app = build_app(config, sink=sink, fleet=fleet)
        async with (
            app.router.lifespan_context(app),
            served(Proxy(app, fleet, sink, config)) as address,
        ):
            got = await send_bytes(address, b"GET /v1/rerank HTTP/1.1\r\nhost: a\r\n\r\n")
    head = got.partition(b"\r\n\r\n")[0]
    assert head.startswith(b"HTTP/1.1 502 "), head
    assert b"injected" not in head
