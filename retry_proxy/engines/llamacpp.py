"""llama.cpp's server: ``timings`` on every chunk carry cumulative draft counters.

Verification steps are not on the wire; a change of ``draft_n`` marks one. Steps without a draft are
not seen, and models with recurrent state report a rate of 1 by construction, so high readings need
the text to agree.

Its ``/v1/messages`` goes on from a last message of the assistant, and says that message again.
"""

from typing import Any

from detectors.observation import Observation
from retry_proxy.engines.adapter import (
    AbortCall,
    AttemptPlan,
    ChunkReader,
    Cumulative,
    EngineProfile,
    FinalCounters,
    Piece,
    Prefix,
)
from retry_proxy.engines.call import GenerationCall, Route
from retry_proxy.engines.continuation import continued_body
from retry_proxy.engines.openai_chunk import read_int
from retry_proxy.engines.openai_reader import completion_of
from retry_proxy.engines.prefill import EchoReader, messages_prefill
from retry_proxy.engines.readers import build_reader


class LlamaCppAdapter:
    """llama.cpp's dialect of the OpenAI API."""

    def __init__(self, profile: EngineProfile) -> None:
        self.profile = profile

    def body(self, call: GenerationCall, plan: AttemptPlan) -> dict[str, Any]:
        body = dict(call.body)
        if call.route is Route.RESPONSES:
            return {**body, "stream": True}
        if call.route is Route.MESSAGES:
            return self._messages_body(call, plan)
        if plan.prefix is not None:
            continued = continued_body(call, plan.prefix, default_max_tokens=None)
            assert continued is not None, "continued without asking can_continue"
            body = continued
            if call.route is Route.CHAT:
                body["add_generation_prompt"] = False  # else the prefix is echoed
        body["stream"] = True
        body["timings_per_token"] = True
        body["stream_options"] = {**(call.body.get("stream_options") or {}), "include_usage": True}
        if plan.cache_salt is not None:
            body["cache_prompt"] = False  # it has no salt
        return body

    def can_continue(self, call: GenerationCall, prefix: Prefix) -> bool:
        if call.route is Route.RESPONSES:
            return False
        if call.route is Route.MESSAGES:
            return messages_prefill(call, prefix) is not None
        return continued_body(call, prefix, default_max_tokens=None) is not None

    def reader(self, call: GenerationCall, prefix: Prefix | None = None) -> ChunkReader:
        reader: ChunkReader = _TimingsReader(self.profile, call)
        if call.route is Route.MESSAGES and prefix is not None:
            return EchoReader(reader, prefix.text)
        return reader

    def abort(self, call: GenerationCall, rid: str) -> AbortCall | None:
        return None

    def _messages_body(self, call: GenerationCall, plan: AttemptPlan) -> dict[str, Any]:
        if plan.prefix is None:
            return {**call.body, "stream": True}
        body = messages_prefill(call, plan.prefix)
        assert body is not None, "continued without asking can_continue"
        return {**body, "stream": True}


class _TimingsReader:
    def __init__(self, profile: EngineProfile, call: GenerationCall) -> None:
        self._reader = build_reader(profile, call, _read_extras)
        self._drafted = Cumulative()
        self._accepted = Cumulative()
        self.final: FinalCounters | None = None

    def read_plain(self, text: str) -> Observation | None:
        return None  # every chunk has its timings

    def read(self, payload: Any, raw: bytes) -> Piece:
        piece = self._reader.read(payload, raw)
        timings = payload.get("timings")
        if isinstance(timings, dict) and piece.observation.new_tokens is not None:
            self._count(piece.observation, timings)
        return piece

    def _count(self, seen: Observation, timings: dict[str, Any]) -> None:
        drafted = read_int(timings, "draft_n")
        seen.steps = 0
        if drafted is None:
            return
        seen.drafted = self._drafted.new(drafted)
        seen.accepted = self._accepted.new(read_int(timings, "draft_n_accepted") or 0)
        seen.steps = 1 if seen.drafted else 0
        seen.is_upper_bound = True


def _read_extras(
    payload: dict[str, Any], usage: dict[str, Any] | None
) -> tuple[int | None, FinalCounters | None]:
    timings = payload.get("timings")
    told = read_int(timings, "predicted_n") if isinstance(timings, dict) else None
    return completion_of(usage) if told is None else told, None
