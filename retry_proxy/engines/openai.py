"""Any OpenAI-compatible server: text only, no acceptance."""

from typing import Any

from retry_proxy.engines.adapter import (
    AbortCall,
    AttemptPlan,
    ChunkReader,
    EngineProfile,
    FinalCounters,
    Prefix,
)
from retry_proxy.engines.call import TYPED_ROUTES, GenerationCall, Route
from retry_proxy.engines.continuation import continued_body
from retry_proxy.engines.openai_reader import completion_of
from retry_proxy.engines.readers import build_reader


class OpenAiAdapter:
    """The OpenAI API without extras.

    Chat cannot be continued: there is no standard way to ask for it.
    """

    def __init__(self, profile: EngineProfile) -> None:
        self.profile = profile

    def body(self, call: GenerationCall, plan: AttemptPlan) -> dict[str, Any]:
        body = dict(call.body)
        if call.route in TYPED_ROUTES:
            return {**body, "stream": True}
        if plan.prefix is not None:
            continued = continued_body(call, plan.prefix, default_max_tokens=16)
            assert continued is not None, "continued without asking can_continue"
            body = continued
        body["stream"] = True
        body["stream_options"] = {**(call.body.get("stream_options") or {}), "include_usage": True}
        return body

    def can_continue(self, call: GenerationCall, prefix: Prefix) -> bool:
        if call.route is not Route.COMPLETIONS:
            return False
        return continued_body(call, prefix, default_max_tokens=16) is not None

    def reader(self, call: GenerationCall, prefix: Prefix | None = None) -> ChunkReader:
        return build_reader(self.profile, call, _read_extras)

    def abort(self, call: GenerationCall, rid: str) -> AbortCall | None:
        return None


def _read_extras(
    payload: dict[str, Any], usage: dict[str, Any] | None
) -> tuple[int | None, FinalCounters | None]:
    return completion_of(usage), None
