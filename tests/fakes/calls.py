"""Client requests and engine profiles for tests of the adapters."""

from typing import Any

import msgspec

from retry_proxy.engines.adapter import EngineProfile
from retry_proxy.engines.call import GenerationCall, Route, parse_call

INTEGRATED = EngineProfile("sglang", is_integrated=True, is_speculating=True, draft_tokens=3)
STOCK = EngineProfile("sglang", is_speculating=True, draft_tokens=3)


def call_for(route: Route, **body: Any) -> GenerationCall:
    basis: dict[Route, dict[str, Any]] = {
        Route.GENERATE: {"text": "Hi"},
        Route.CHAT: {"messages": [{"role": "user", "content": "Hi"}]},
        Route.COMPLETIONS: {"prompt": "Hi"},
        Route.MESSAGES: {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100},
        Route.RESPONSES: {"input": "Hi"},
    }
    return parse_call(route, msgspec.json.encode({**basis[route], "stream": True, **body}))
