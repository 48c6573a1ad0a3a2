"""LangChain and LiteLLM get the same objects through the proxy as without it.

Run by `make test-clients`: their pins do not go together with those of the other tests.
"""

import json
import os
from typing import Any

import pytest

from tests.fakes.recorded import both

pytestmark = [
    pytest.mark.clients,
    # Their own, about each other's types and about sessions they leave to the collector.
    pytest.mark.filterwarnings("ignore"),
]

TURN: list[Any] = [{"role": "user", "content": "What is the weather in Zürich?"}]
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a place.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
CLAUDE_WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather of a place.",
    "input_schema": {"type": "object", "properties": {"location": {"type": "string"}}},
}


def plain(value: Any) -> Any:
    """A response object as data, without what the client draws by itself."""
    if hasattr(value, "model_dump"):
        value = value.model_dump()
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if not _is_own(key, each)}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def _is_own(key: str, value: Any) -> bool:
    return key == "id" and isinstance(value, str) and value.startswith("lc_")  # drawn by LangChain


def langchain_openai(address: str) -> Any:
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 (an extra)

    base = f"{address}/v1"
    model = ChatOpenAI(model="m", base_url=base, api_key="k", max_retries=0, stream_usage=True)
    return model.bind_tools([WEATHER])


def langchain_anthropic(address: str) -> Any:
    from langchain_anthropic import ChatAnthropic  # noqa: PLC0415 (an extra)

    model = ChatAnthropic(model="m", base_url=address, api_key="k", max_retries=0, max_tokens=99)
    return model.bind_tools([CLAUDE_WEATHER])


@pytest.mark.parametrize("build", [langchain_openai, langchain_anthropic])
async def test_langchain(build: Any) -> None:
    """Whole, and chunk by chunk; the tool call is a tool call on both."""
    async with both() as addresses:
        whole, chunks = [], []
        for address in addresses:
            whole.append(await build(address).ainvoke(TURN))
            chunks.append([chunk async for chunk in build(address).astream(TURN)])
    assert plain(whole[1]) == plain(whole[0])
    assert plain(chunks[1]) == plain(chunks[0])
    assert len(chunks[0]) > 4
    (call,) = whole[1].tool_calls
    assert (call["name"], "Zürich" in str(call["args"])) == ("get_weather", True)
    assert whole[1].usage_metadata["output_tokens"] > 1


async def litellm_call(provider: str, address: str, *, stream: bool) -> Any:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it is fetched over the network
    import litellm  # noqa: PLC0415 (an extra)

    litellm.telemetry = False
    litellm.suppress_debug_info = True
    base = f"{address}/v1" if provider == "openai" else address
    answer = await litellm.acompletion(
        model=f"{provider}/m",
        messages=TURN,
        tools=[WEATHER],
        api_base=base,
        api_key="k",
        stream=stream,
        stream_options={"include_usage": True} if stream else None,
        max_tokens=99,
        num_retries=0,
    )
    return [chunk async for chunk in answer] if stream else answer


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_litellm(provider: str) -> None:
    async with both() as (engine, proxy):
        whole = [await litellm_call(provider, at, stream=False) for at in (engine, proxy)]
        chunks = [await litellm_call(provider, at, stream=True) for at in (engine, proxy)]
    assert told(whole[1]) == told(whole[0])
    assert [told(one) for one in chunks[1]] == [told(one) for one in chunks[0]]
    assert len(chunks[0]) > 4
    (call,) = whole[1].choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert "Zürich" in str(json.loads(call.function.arguments))
    assert whole[1].usage.completion_tokens > 1


def told(answer: Any) -> Any:
    """What the engine told: where it gives no id or time, LiteLLM makes them up."""
    data = plain(answer)
    if data["created"] != 1:
        del data["id"], data["created"]
    return data
