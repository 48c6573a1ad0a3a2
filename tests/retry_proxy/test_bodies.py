"""Bodies that are too large or nested too deep are refused before an engine hears of them."""

import msgspec
import pytest

from retry_proxy.engines.json_depth import MAX_DEPTH, check_depth
from retry_proxy.errors import InvalidBody
from tests.fakes.asgi_client import post, start
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import ALL_ROUTES, CHAT, MESSAGES, proxy_for, request_body
from tests.fakes.served import send_bytes, served

LARGE = 10_000


def nested(depth: int) -> bytes:
    """An object around lists."""
    return b'{"a": ' + b"[" * (depth - 1) + b"1" + b"]" * (depth - 1) + b"}"


def head(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "host: proxy", *lines, "", ""]).encode()


@pytest.mark.parametrize("depth", [1, 2, MAX_DEPTH - 1, MAX_DEPTH])
def test_up_to_the_bound_nothing_is_said(depth: int) -> None:
    raw = nested(depth)
    check_depth(raw, msgspec.json.decode(raw))


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"b": [], "a":'])
def test_one_level_more_is_refused(opening: bytes) -> None:
    closing = {b"[": b"]", b'{"a":': b"}"}.get(opening, b"}]")
    levels = MAX_DEPTH + 1
    repeats = levels if len(closing) == 1 else levels // 2 + 1
    raw = opening * repeats + b"1" + closing * repeats
    with pytest.raises(InvalidBody, match=str(MAX_DEPTH)):
        check_depth(raw, msgspec.json.decode(raw))


def test_many_brackets_are_not_deep() -> None:
    """Within text, or side by side."""
    values: list[object] = [{"text": "[" * 10_000}, {"messages": [{"content": [{}]}] * 500}]
    for value in values:
        check_depth(msgspec.json.encode(value), value)


@pytest.mark.parametrize("path", ALL_ROUTES)
@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 900, 10_000, 1_000_000])
async def test_deep_bodies_are_400_in_the_schema_of_the_api(path: str, depth: int) -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        got = await post(proxy.app, path, nested(depth))
    assert got.status == 400
    assert got.json()["error"]["type"] == "invalid_request_error"
    assert (got.json().get("type") == "error") == (path == MESSAGES)
    assert not engine.generations


@pytest.mark.parametrize("path", [*ALL_ROUTES, "/v1/rerank"])
async def test_a_length_over_the_limit_is_413_before_a_byte_is_read(path: str) -> None:
    headers = [("host", "proxy"), ("content-length", str(LARGE + 1))]
    async with FakeEngine() as engine, proxy_for(engine, max_body_bytes=LARGE) as proxy:
        exchange = start(proxy.app, "POST", path, [b"", b""], headers=headers)
        waiting = len(exchange._pending)
        got = await exchange.finish()
        assert len(got._pending) == waiting, "something was read"
    assert (got.status, got.headers["connection"]) == (413, "close")
    assert not engine.generations
    assert not [seen for seen in engine.other_requests if seen[1] == path]


async def test_pieces_without_a_length_are_counted_as_they_pass() -> None:
    """The replica sees the request break off, the client a 413."""
    async with FakeEngine() as engine, proxy_for(engine, max_body_bytes=LARGE) as proxy:
        pieces = [b"x" * 4000] * 4
        assert (await post(proxy.app, "/v1/rerank", pieces)).status == 413
        assert (await post(proxy.app, CHAT, pieces)).status == 413
        assert (await post(proxy.app, "/v1/rerank", pieces[:2])).status == 207
    whole = [seen for seen in engine.other_requests if seen[1] == "/v1/rerank"]
    assert [len(seen[2]) for seen in whole] == [8000]


async def test_who_waits_for_100_continue_gets_it_or_the_refusal() -> None:
    body = msgspec.json.encode(request_body(CHAT))
    async with (
        FakeEngine() as engine,
        proxy_for(engine, max_body_bytes=LARGE) as proxy,
        served(proxy) as address,
    ):
        for path in (CHAT, "/v1/rerank"):
            expecting = head(path, "expect: 100-continue", f"content-length: {len(body)}")
            answer = await send_bytes(address, expecting, body)
            assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2")
            large = head(path, "expect: 100-continue", f"content-length: {LARGE + 1}")
            answer = await send_bytes(address, large, b"GET /second HTTP/1.1\r\nhost: a\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 413 ")
            assert answer.count(b"HTTP/1.1 ") == 1
    seen = {line[1]: line[3] for line in engine.other_requests}
    assert "/second" not in seen
    assert "expect" not in seen["/v1/rerank"]
