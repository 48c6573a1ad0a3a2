"""SGLang and the integrated backend, which speaks the same API.

Stock SGLang (0.5.5 to 0.5.23) tells a generation's acceptance only in its last chunk, so it is
derived from the tokens of each chunk: chunks may merge steps, the result is an upper bound. The
integrated backend, and an SGLang patched to do so, has live counters on every chunk, which are
taken as they are.
"""

import secrets
from typing import Any

from retry_proxy.engines.adapter import (
    AbortCall,
    AttemptPlan,
    ChunkReader,
    EngineProfile,
    Prefix,
)
from retry_proxy.engines.call import TYPED_ROUTES, GenerationCall, Route
from retry_proxy.engines.continuation import continued_body
from retry_proxy.engines.readers import build_reader
from retry_proxy.engines.sglang_reader import GenerateReader, read_openai_extras

# What SGLang generates if the client names no limit; chat has none.
_DEFAULT_MAX_TOKENS = {Route.GENERATE: 128, Route.COMPLETIONS: 16, Route.CHAT: None}


class SglangAdapter:
    """SGLang's dialect."""

    def __init__(self, profile: EngineProfile) -> None:
        self.profile = profile

    def body(self, call: GenerationCall, plan: AttemptPlan) -> dict[str, Any]:
        if call.route in TYPED_ROUTES:
            return {**call.body, "stream": True}  # they know neither a request id nor counters
        body = self._prompt(call, plan.prefix)
        body["rid"] = plan.rid
        body["stream"] = True
        if plan.number > 1 and "bootstrap_room" in body:
            body["bootstrap_room"] = _new_room(body["bootstrap_room"])
        if plan.cache_salt is not None:
            body["cache_salt"] = f"{call.body.get('cache_salt') or ''}{plan.cache_salt}"
        if call.route is Route.GENERATE:
            return body
        body["return_spec_tokens_details"] = True
        # Counts on every chunk: the live counters' fallback, and what a non-streaming answer's
        # usage needs.
        body["stream_options"] = {
            **(call.body.get("stream_options") or {}),
            "include_usage": True,
            "continuous_usage_stats": True,
        }
        # Stock SGLang refuses token ids on streamed chat.
        if call.route is Route.COMPLETIONS or self.profile.is_integrated:
            body["return_token_ids"] = True
        return body

    def can_continue(self, call: GenerationCall, prefix: Prefix) -> bool:
        return self._continued(call, prefix) is not None

    def reader(self, call: GenerationCall, prefix: Prefix | None = None) -> ChunkReader:
        if call.route is Route.GENERATE:
            return GenerateReader(self.profile)
        return build_reader(self.profile, call, read_openai_extras)

    def abort(self, call: GenerationCall, rid: str) -> AbortCall | None:
        if call.route in TYPED_ROUTES:
            return None  # a closed connection is aborted at once
        return AbortCall("/abort_request", {"rid": rid, "abort_all": False})

    def _prompt(self, call: GenerationCall, prefix: Prefix | None) -> dict[str, Any]:
        if prefix is None:
            return dict(call.body)
        body = self._continued(call, prefix)
        assert body is not None, "continued without asking can_continue"
        return body

    def _continued(self, call: GenerationCall, prefix: Prefix) -> dict[str, Any] | None:
        if call.route in TYPED_ROUTES:
            return None  # a last message of the assistant is a turn of its own, not a prefix
        return continued_body(
            call,
            prefix,
            default_max_tokens=_DEFAULT_MAX_TOKENS[call.route],
            # Stock SGLang takes them too, but never tells the prompt's ids on a streamed chat.
            takes_chat_ids=self.profile.is_integrated,
        )


def _new_room(room: object) -> object:
    """Where the prefill and the decode side of a new attempt meet; the old room is used up."""
    if isinstance(room, list):
        return [_new_room(each) for each in room]
    return None if room is None else secrets.randbits(63)
