"""vLLM: acceptance is derived from the token ids of each chunk, an upper bound.

Its own numbers (``--per-request-spec-decode-metrics``) come only with the last usage chunk.
"""

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
from retry_proxy.engines.openai_chunk import read_int
from retry_proxy.engines.openai_reader import completion_of
from retry_proxy.engines.readers import build_reader

_DEFAULT_MAX_TOKENS = {Route.COMPLETIONS: 16}


class VllmAdapter:
    """vLLM's dialect of the OpenAI API."""

    def __init__(self, profile: EngineProfile) -> None:
        self.profile = profile

    def body(self, call: GenerationCall, plan: AttemptPlan) -> dict[str, Any]:
        body = dict(call.body)
        if call.route in TYPED_ROUTES:
            return {**body, "stream": True}
        if plan.prefix is not None:
            continued = self._continued(call, plan.prefix)
            assert continued is not None, "continued without asking can_continue"
            body = continued
            if call.route is Route.CHAT:
                body["add_generation_prompt"] = False  # both true is refused
        body["stream"] = True
        body["return_token_ids"] = True
        body["stream_options"] = {**(call.body.get("stream_options") or {}), "include_usage": True}
        if plan.cache_salt is not None:
            body["cache_salt"] = f"{call.body.get('cache_salt') or ''}{plan.cache_salt}"
        return body

    def can_continue(self, call: GenerationCall, prefix: Prefix) -> bool:
        return self._continued(call, prefix) is not None

    def reader(self, call: GenerationCall, prefix: Prefix | None = None) -> ChunkReader:
        return build_reader(self.profile, call, read_extras)

    def abort(self, call: GenerationCall, rid: str) -> AbortCall | None:
        return None  # a closed connection is aborted at once

    def _continued(self, call: GenerationCall, prefix: Prefix) -> dict[str, Any] | None:
        if call.route in TYPED_ROUTES:
            return None  # a last message of the assistant is a turn of its own, not a prefix
        limit = _DEFAULT_MAX_TOKENS.get(call.route)
        return continued_body(call, prefix, default_max_tokens=limit)


def read_extras(
    payload: dict[str, Any], usage: dict[str, Any] | None
) -> tuple[int | None, FinalCounters | None]:
    """Usage, and ``metrics.speculative_decoding`` of the last chunk."""
    metrics = payload.get("metrics")
    details = metrics.get("speculative_decoding") if isinstance(metrics, dict) else None
    if not isinstance(details, dict):
        return completion_of(usage), None
    return completion_of(usage), FinalCounters(
        steps=read_int(details, "num_spec_steps"),
        drafted=read_int(details, "num_draft_tokens"),
        accepted=read_int(details, "num_accepted_draft_tokens"),
    )
