"""llama.cpp is asked for its numbers on every chunk; a client that did not ask sees none of them.

Found by `make test-engines`: they went on to everybody.
"""

from typing import Any

import pytest

from retry_proxy.config import EngineName
from tests.fakes.asgi_client import post
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import CHAT, proxy_for, request_body
from tests.fakes.recorded import recorded_engine

FILES = {
    CHAT: "llamacpp-b11434-draft-chat.sse",
    "/v1/completions": "llamacpp-b11434-draft-completions.sse",
}


async def chunks(route: str, **wishes: Any) -> list[dict[str, Any]]:
    """What a client gets of the recording."""
    async with recorded_engine(FILES) as address:
        replica = FakeEngine()  # not started: only its address is used
        replica.address = address
        async with proxy_for(replica, engine=EngineName.LLAMACPP) as proxy:
            got = await post(proxy.app, route, request_body(route) | wishes)
    assert got.is_done
    return [event for event in got.events() if event != "[DONE]"]


@pytest.mark.parametrize("route", FILES)
async def test_timings_go_to_who_asked(route: str) -> None:
    unasked = await chunks(route)
    asked = await chunks(route, timings_per_token=True)
    assert len(unasked) == len(asked) > 10
    finished = [one for one in unasked if one["choices"][0]["finish_reason"] is not None]
    assert [one for one in unasked if "timings" in one and one not in finished] == []
    assert sum("timings" in one for one in asked) > 10


async def test_usage_beside_the_last_choice_keeps_its_details() -> None:
    """llama.cpp tells a completion's usage with the last choice; what it told besides was lost."""
    *_, last = await chunks("/v1/completions", stream_options={"include_usage": True})
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] > 0
    assert "prompt_tokens_details" in last["usage"]
