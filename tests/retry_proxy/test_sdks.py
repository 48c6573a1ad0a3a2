"""The vendors' own clients get the same objects through the proxy as without it."""

from typing import Any

import msgspec
import pytest
from anthropic import APIStatusError, AsyncAnthropic
from openai import APIError, AsyncOpenAI

from retry_proxy.stream.sse import SseParser
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import proxy_for
from tests.fakes.recorded import DATA, FILES, both
from tests.fakes.script import Fault, Script
from tests.fakes.served import served

TURN: list[Any] = [{"role": "user", "content": "What is the weather in Zürich?"}]
CHAT_TOOLS: list[Any] = [
    {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
]
TOOLS: list[Any] = [{"name": "get_weather", "input_schema": {"type": "object"}}]


def openai_at(address: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=address + "/v1", api_key="k", max_retries=0)


def anthropic_at(address: str) -> AsyncAnthropic:
    return AsyncAnthropic(base_url=address, api_key="k", max_retries=0)


async def chat_chunks(address: str) -> list[Any]:
    async with openai_at(address) as client:
        stream = await client.chat.completions.create(
            model="m",
            messages=TURN,
            tools=CHAT_TOOLS,
            stream=True,
            stream_options={"include_usage": True},
        )
        return [chunk.model_dump() async for chunk in stream]


async def message_events(address: str) -> tuple[list[Any], Any]:
    async with (
        anthropic_at(address) as client,
        client.messages.stream(model="m", max_tokens=99, messages=TURN, tools=TOOLS) as stream,
    ):
        events = [event.model_dump() async for event in stream]
        return events, (await stream.get_final_message()).model_dump()


async def response_events(address: str) -> list[Any]:
    async with openai_at(address) as client:
        stream = await client.responses.create(model="m", input="Weather?", stream=True)
        return [event.model_dump() async for event in stream]


async def test_streamed_chat_with_reasoning_and_a_tool() -> None:
    async with both() as (engine, proxy):
        direct, through = await chat_chunks(engine), await chat_chunks(proxy)
    for chunk in (*direct, *through):
        if chunk["choices"]:
            chunk.pop("usage")  # null or absent
    assert through == direct


async def test_streamed_message_with_thinking_and_a_tool() -> None:
    async with both() as (engine, proxy):
        direct, through = await message_events(engine), await message_events(proxy)
    assert through == direct
    assert through[1]["content"][2]["input"] == {"location": "Zürich, CH", "unit": "celsius"}


async def test_streamed_response_with_reasoning_and_a_call() -> None:
    async with both() as (engine, proxy):
        assert await response_events(proxy) == await response_events(engine)


async def test_whole_answers_are_what_the_streams_add_up_to() -> None:
    """The recordings are streams only: each is compared with what the client makes of its own."""
    async with both() as (engine, proxy):
        _, message = await message_events(engine)
        async with anthropic_at(proxy) as client:
            whole = await client.messages.create(
                model="m", max_tokens=99, messages=TURN, tools=TOOLS
            )
        async with openai_at(proxy) as client:
            response = await client.responses.create(model="m", input="Weather?")
            chat = await client.chat.completions.create(model="m", messages=TURN, tools=CHAT_TOOLS)
    same = {"parsed_output": None}
    told = whole.model_dump()
    assert {**told, **same} == {**message, **same} | {"content": told["content"]}
    kept = ("type", "text", "thinking", "signature", "id", "name", "input")
    for ours, theirs in zip(told["content"], message["content"], strict=True):
        assert {k: ours.get(k) for k in kept} == {k: theirs.get(k) for k in kept}
    last = SseParser(99_999).feed((DATA / FILES["/v1/responses"]).read_bytes())[-1]
    assert last.data is not None
    wanted = msgspec.json.decode(last.data)["response"]
    assert response.id == wanted["id"]
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert response.output_text == "Looking up Zürich 🌦 now."
    (choice,) = chat.choices
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].model_dump()["function"]["arguments"] == (
        '{"city": "Zürich"}'
    )
    assert choice.finish_reason == "tool_calls"


async def read_on(stream: Any, engines: list[FakeEngine]) -> list[Any]:
    """Reads; the engines break off once the client has something."""
    for engine in engines:
        engine.resume.clear()
    events = []
    async for event in stream:
        events.append(event)
        for engine in engines:
            engine.resume.set()
    return events


async def test_errors_in_a_stream_reach_the_programs() -> None:
    """A stream that ended with a typed error must not look like a finished answer."""
    async with FakeEngine() as one, FakeEngine() as two:
        one.default = two.default = Script(Fault.CUT, after=20, pause_after=8)
        engines = [one, two]
        async with (
            proxy_for(one, two) as proxy,
            served(proxy) as address,
            anthropic_at(address) as claude,
            openai_at(address) as openai,
        ):
            message = await claude.messages.create(
                model="m", max_tokens=99, messages=TURN, stream=True
            )
            with pytest.raises(APIStatusError, match="cannot be continued"):
                await read_on(message, engines)
            chat = await openai.chat.completions.create(
                model="m", messages=TURN, stream=True, logprobs=True
            )
            with pytest.raises(APIError, match="cannot be continued"):
                await read_on(chat, engines)
            response = await openai.responses.create(model="m", input="Hi", stream=True)
            events = await read_on(response, engines)
    assert events[-1].type == "response.failed"
    assert events[-1].response.error.message.endswith("send it again")
