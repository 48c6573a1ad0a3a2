"""What the adapters take for granted, held by the engines themselves: `make test-engines`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
import pytest

from retry_proxy.engines.detect import describe
from retry_proxy.fleet.health import fetch_answers
from retry_proxy.stream.sockets import SocketUpstream
from tests.engines.running import MODEL, Engine
from tests.fakes.cutter import cutter
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import Proxy, proxy_for
from tests.fakes.served import served

pytestmark = pytest.mark.engines

CHAT, COMPLETIONS, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/messages"
# Repeats itself, so that drafts from n-grams are accepted.
TEXT = "Write the days of the week, three times: Monday Tuesday Wednesday Thursday Friday"
PROMPT = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday " * 3 + "Monday Tuesday"
OWN = {"id", "created", "system_fingerprint"}  # of each generation; and timings are measured
TOKENS = 32


def request(route: str, *, stream: bool, tokens: int = TOKENS) -> dict[str, Any]:
    """Greedy, so that it can be asked twice."""
    body: dict[str, Any] = {
        "model": MODEL,
        "temperature": 0,
        "max_tokens": tokens,
        "stream": stream,
    }
    if route == COMPLETIONS:
        return {**body, "prompt": PROMPT}
    return {**body, "messages": [{"role": "user", "content": TEXT}]}


@dataclass
class Front:
    """A proxy before the engine, and its address."""

    proxy: Proxy
    address: str


@asynccontextmanager
async def front(*addresses: str) -> AsyncIterator[Front]:
    replicas = []
    for address in addresses:
        replica = FakeEngine()  # not started: only its address is used
        replica.address = address
        replicas.append(replica)
    async with proxy_for(*replicas) as proxy, served(proxy) as address:
        yield Front(proxy, address)


async def ask(address: str, route: str, body: dict[str, Any]) -> bytes:
    async with (
        aiohttp.ClientSession() as session,
        session.post(address + route, json=body) as answer,
    ):
        assert answer.status == 200, await answer.text()
        return await answer.read()


def events(stream: bytes) -> list[Any]:
    """Data of the events, without what is drawn or measured anew for each generation."""
    blocks = stream.replace(b"\r\n", b"\n").split(b"\n\n")
    lines = [line for block in blocks for line in block.split(b"\n") if line.startswith(b"data: ")]
    return [
        "[DONE]" if line == b"data: [DONE]" else plain(msgspec.json.decode(line[6:]))
        for line in lines
    ]


def plain(body: Any) -> Any:
    """Without an answer's own marks and without nulls (vLLM's `token_ids: null` says that there are
    none, and the proxy takes the field out); of the timings only that they are there."""
    kept = {name: without_nulls(value) for name, value in body.items() if name not in OWN}
    if "timings" in kept:
        kept["timings"] = "measured"
    if isinstance(kept.get("message"), dict):
        kept["message"] = plain(kept["message"])
    return kept


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def text_of(stream: bytes) -> str:
    """Answer text of a streamed chat or completion."""
    found = ""
    for event in events(stream):
        for choice in event["choices"] if event != "[DONE]" else ():
            found += (choice.get("delta") or {}).get("content") or choice.get("text") or ""
    return found


async def test_it_is_found(engine: Engine) -> None:
    upstream = SocketUpstream(3.0)
    try:
        profile = describe(await fetch_answers(upstream, engine.address, 10.0), "auto")
    finally:
        await upstream.close()
    assert profile.name == engine.name
    assert profile.version
    assert profile.models
    assert profile.is_speculating is (engine.name == "vllm")  # llama.cpp does not tell


@pytest.mark.parametrize("usage", [False, True], ids=["no usage", "usage"])
@pytest.mark.parametrize("route", [CHAT, COMPLETIONS])
async def test_a_stream_is_what_it_is_without_the_proxy(
    engine: Engine, route: str, usage: bool
) -> None:
    """Every event, every field: what the proxy asked for besides is taken out again."""
    body = request(route, stream=True)
    if usage:
        body["stream_options"] = {"include_usage": True}
    async with front(engine.address) as before:
        await ask(engine.address, route, body)  # fills the prefix cache, which usage tells of
        direct = events(await ask(engine.address, route, body))
        through = events(await ask(before.address, route, body))
    told, told_without = taken_usage(through), taken_usage(direct)
    assert told == (told_without if usage else None)
    assert through == direct
    assert direct[-1] == "[DONE]"
    assert len(direct) > 10


def taken_usage(stream: list[Any]) -> Any:
    """Takes out what stands elsewhere: llama.cpp's completions tell usage with the last choice and
    unasked; the proxy tells it as OpenAI does. The last chunk's timings go with the usage chunk.
    """
    found = None
    for event in list(stream):
        if event == "[DONE]":
            continue
        found = event.pop("usage", None) or found
        is_last = event["choices"] == [] or event["choices"][0].get("finish_reason") is not None
        if is_last:
            event.pop("timings", None)
        if event["choices"] == []:
            stream.remove(event)
    return found


async def test_a_messages_stream_is_what_it_is_without_the_proxy(engine: Engine) -> None:
    body = request(MESSAGES, stream=True)
    async with front(engine.address) as before:
        await ask(engine.address, MESSAGES, body)
        direct = events(await ask(engine.address, MESSAGES, body))
        through = events(await ask(before.address, MESSAGES, body))
    for event in (direct[0], through[0]):
        event["message"].pop("id", None)
    assert through == direct
    assert direct[-1]["type"] == "message_stop"


@pytest.mark.parametrize("route", [CHAT, COMPLETIONS])
async def test_a_whole_answer_is_what_it_is_without_the_proxy(engine: Engine, route: str) -> None:
    body = request(route, stream=False)
    async with front(engine.address) as before:
        await ask(engine.address, route, body)
        direct = plain(msgspec.json.decode(await ask(engine.address, route, body)))
        through = plain(msgspec.json.decode(await ask(before.address, route, body)))
    kept = without_nothing(through)
    assert kept == {name: value for name, value in without_nothing(direct).items() if name in kept}
    assert through["choices"][0]["finish_reason"] == "length"
    assert through["usage"]["completion_tokens"] == TOKENS


def without_nothing(value: Any) -> Any:
    """Without fields that are null or empty: absent to every client."""
    if isinstance(value, dict):
        told = {name: without_nothing(each) for name, each in value.items()}
        return {name: each for name, each in told.items() if each not in (None, [], {})}
    return [without_nothing(each) for each in value] if isinstance(value, list) else value


async def test_acceptance_arrives(engine: Engine) -> None:
    async with front(engine.address) as before:
        await ask(before.address, COMPLETIONS, request(COMPLETIONS, stream=True))
        (attempt,) = before.proxy.sink.attempts
    assert attempt.engine == engine.name
    assert attempt.completion_tokens == TOKENS
    assert attempt.accepted is not None
    assert attempt.accepted > 5, "the prompt repeats itself: drafts are accepted"
    assert attempt.steps is not None
    assert attempt.steps < TOKENS


async def test_a_client_that_leaves_frees_the_engine(engine: Engine) -> None:
    body = request(CHAT, stream=True, tokens=1500)
    body["ignore_eos"] = True
    async with front(engine.address) as before, aiohttp.ClientSession() as session:
        answer = await session.post(before.address + CHAT, json=body)
        await answer.content.readany()
        assert await asyncio.to_thread(engine.running_requests) == 1
        answer.close()
        assert await asyncio.to_thread(engine.seconds_until_idle, 5.0) < 5.0


@pytest.mark.parametrize("route", [CHAT, COMPLETIONS])
async def test_a_cut_answer_goes_on_where_it_was(engine: Engine, route: str) -> None:
    """Another connection, the same model: greedy, the text must be the whole one."""
    body = request(route, stream=True)
    direct = text_of(await ask(engine.address, route, body))
    async with (
        cutter(engine.address, 6000) as broken,
        front(broken, engine.address) as before,
    ):
        stream = await ask(before.address, route, body)
        attempts = before.proxy.sink.attempts
    assert [attempt.outcome.value for attempt in attempts] == ["upstream_error", "completed"]
    assert attempts[0].released_tokens > 0, "it was cut after text had been released"
    assert text_of(stream) == direct
    assert events(stream)[-1] == "[DONE]"
