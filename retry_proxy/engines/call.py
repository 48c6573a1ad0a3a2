"""A client's generation request, read once. Knows the generation routes, no engine."""

import enum
from dataclasses import dataclass
from typing import Any

import msgspec

from retry_proxy.engines.continuable import is_continuable
from retry_proxy.engines.json_depth import check_depth
from retry_proxy.errors import InvalidBody

MAX_WATCHED_CHOICES = 16  # each has detectors of its own


class Route(enum.StrEnum):
    """The watched routes."""

    GENERATE = "/generate"
    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"
    MESSAGES = "/v1/messages"  # Anthropic's
    RESPONSES = "/v1/responses"


# Their events have types, and neither ends with ``[DONE]``.
TYPED_ROUTES = frozenset({Route.MESSAGES, Route.RESPONSES})


@dataclass(frozen=True, slots=True)
class GenerationCall:
    """What the client asked for.

    Attributes:
        body: the decoded body; never changed.
        model: model name, ``""`` where the request names none.
        choices: how many answers it wants (``n``, times the prompts of a batch).
        max_tokens: its own limit, ``None`` if it named none.
        temperature: ``None`` if it named none; 0 where only the likeliest token may be taken.
        wants_usage, wants_continuous_usage, wants_spec_details, wants_token_ids: what it asked to
            be sent; the proxy asks for more and strips the rest.
        wants_timings: the same of llama.cpp's numbers on every chunk.
        is_watched: the proxy can stream it upstream and watch it; otherwise it passes through
            verbatim.
        unwatched_reason: why not (see ``RequestUnwatched``), ``None`` if it is watched.
        is_continuable: a stopped answer may be continued from a prefix (no grammar, one choice, no
            logprobs, no tool call that must come).
    """

    route: Route
    body: dict[str, Any]
    is_streaming: bool
    model: str
    choices: int
    max_tokens: int | None
    temperature: float | None
    wants_usage: bool
    wants_continuous_usage: bool
    wants_spec_details: bool
    wants_token_ids: bool
    wants_timings: bool
    client_rid: str | None
    is_watched: bool
    is_continuable: bool
    unwatched_reason: str | None = None


_decode = msgspec.json.Decoder().decode

# Fields that engines refuse on streams, or whose answer only a whole response carries.
_NOT_STREAMABLE = (
    "return_meta_info",
    "return_hidden_states",
    "return_routed_experts",
    "use_beam_search",
)
# What such a request goes on from, or leaves behind, lies in one replica's memory: another one
# cannot do it again.
_STATE_OF_ONE_REPLICA = ("previous_response_id", "background", "conversation")


def parse_call(route: Route, raw: bytes) -> GenerationCall:
    """Reads a request body.

    Raises:
        InvalidBody: not JSON, not an object, nested too deep, or a field that the proxy itself
            reads has a wrong type. All other fields are the engine's to judge.
    """
    try:
        body = _decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidBody(f"the body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidBody("the body must be a JSON object")
    check_depth(raw, body)
    is_streaming = _optional(body, "stream", bool) or False
    stream_options = _optional(body, "stream_options", dict) or {}
    sampling = _sampling(route, body)
    choices = _choices(route, body, sampling)
    unwatched_reason = _unwatched_reason(route, body, choices, is_streaming)
    return GenerationCall(
        route=route,
        body=body,
        is_streaming=is_streaming,
        model=_optional(body, "model", str) or "",
        choices=choices,
        max_tokens=_max_tokens(route, sampling),
        temperature=_temperature(sampling),
        wants_usage=not is_streaming or bool(stream_options.get("include_usage")),
        wants_continuous_usage=bool(stream_options.get("continuous_usage_stats")),
        wants_spec_details=bool(body.get("return_spec_tokens_details")),
        wants_token_ids=bool(body.get("return_token_ids")),
        wants_timings=bool(body.get("timings_per_token")),
        client_rid=_client_rid(body),
        is_watched=unwatched_reason is None,
        is_continuable=choices == 1 and is_continuable(body, sampling),
        unwatched_reason=unwatched_reason,
    )


def _optional(body: dict[str, Any], name: str, kind: type) -> Any:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidBody(f"{name} must be of type {kind.__name__}, got {type(value).__name__}")
    return value


def _sampling(route: Route, body: dict[str, Any]) -> dict[str, Any]:
    if route is not Route.GENERATE:
        return body
    sampling = body.get("sampling_params")
    return sampling if isinstance(sampling, dict) else {}


def _max_tokens(route: Route, sampling: dict[str, Any]) -> int | None:
    names = {
        Route.GENERATE: ("max_new_tokens",),
        Route.CHAT: ("max_completion_tokens", "max_tokens"),
        Route.COMPLETIONS: ("max_tokens",),
        Route.MESSAGES: ("max_tokens",),
        Route.RESPONSES: ("max_output_tokens",),
    }[route]
    for name in names:
        value = sampling.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _temperature(sampling: dict[str, Any]) -> float | None:
    """As the engine will read it; what is no number is the engine's to refuse."""
    if sampling.get("top_k") == 1:
        return 0.0
    value = sampling.get("temperature")
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _client_rid(body: dict[str, Any]) -> str | None:
    rid = body.get("rid")
    return rid if isinstance(rid, str) else None


def _choices(route: Route, body: dict[str, Any], sampling: dict[str, Any]) -> int:
    if route in TYPED_ROUTES:
        return 1
    choices: int = _optional(sampling, "n", int) or 1
    prompt = body.get("prompt")
    if route is Route.COMPLETIONS and isinstance(prompt, list) and _is_batch(prompt):
        return choices * len(prompt)
    return choices


def _unwatched_reason(
    route: Route, body: dict[str, Any], choices: int, is_streaming: bool
) -> str | None:
    if not is_streaming and any(body.get(name) for name in _NOT_STREAMABLE):
        return "not_streamable"
    if choices > MAX_WATCHED_CHOICES:
        return "too_many_choices"
    if route is Route.RESPONSES:
        keeps_state = any(body.get(name) for name in _STATE_OF_ONE_REPLICA)
        return "state_of_one_replica" if keeps_state else None
    if route is not Route.GENERATE:
        return None
    is_batch = _is_batch(body.get("input_ids")) or isinstance(body.get("text"), list)
    is_batch = is_batch or choices > 1 or isinstance(body.get("sampling_params"), list)
    return "batch" if is_batch else None


def _is_batch(prompt: object) -> bool:
    return isinstance(prompt, list) and not all(isinstance(token, int) for token in prompt)
