"""A client's generation request, read once. Knows the three generation routes, no engine."""

import enum
from dataclasses import dataclass
from typing import Any

import msgspec

from retry_proxy.errors import InvalidBody


class Route(enum.StrEnum):
    """The watched routes."""

    GENERATE = "/generate"
    CHAT = "/v1/chat/completions"
    COMPLETIONS = "/v1/completions"


@dataclass(frozen=True, slots=True)
class GenerationCall:
    """What the client asked for.

    Attributes:
        body: the decoded body; never changed.
        model: model name, ``""`` where the request names none.
        choices: how many answers it wants (``n``).
        max_tokens: its own limit, ``None`` if it named none.
        temperature: ``None`` if it named none; 0 where only the likeliest token may be taken.
        wants_usage, wants_continuous_usage, wants_spec_details, wants_token_ids: what it asked to
            be sent; the proxy asks for more and strips the rest.
        is_watched: the proxy can stream it upstream and watch it; otherwise it passes through
            verbatim.
        is_continuable: a stopped answer may be continued from a prefix (no grammar, one choice, no
            logprobs, no tools).
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
    client_rid: str | None
    is_watched: bool
    is_continuable: bool


_decode = msgspec.json.Decoder().decode

# A grammar's state starts at its root again on a continuation: nested or doubled JSON.
_GRAMMAR_FIELDS = (
    "regex",
    "ebnf",
    "json_schema",
    "structural_tag",
    "grammar",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
    "structured_outputs",
)
_NOT_CONTINUED = (
    "logprobs",
    "top_logprobs",
    "return_logprob",
    "tools",
    "functions",
    "echo",
    "suffix",
    "session_params",
)
# Fields that engines refuse on streams, or whose answer only a whole response carries.
_NOT_STREAMABLE = (
    "return_meta_info",
    "return_hidden_states",
    "return_routed_experts",
    "use_beam_search",
)


def parse_call(route: Route, raw: bytes) -> GenerationCall:
    """Reads a request body.

    Raises:
        InvalidBody: not JSON, not an object, or a field that the proxy itself reads has a wrong
            type. All other fields are the engine's to judge.
    """
    try:
        body = _decode(raw)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidBody(f"the body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidBody("the body must be a JSON object")
    is_streaming = _optional(body, "stream", bool) or False
    stream_options = _optional(body, "stream_options", dict) or {}
    sampling = _sampling(route, body)
    choices = _optional(sampling, "n", int) or 1
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
        client_rid=_client_rid(body),
        is_watched=_is_watched(route, body, choices, is_streaming),
        is_continuable=choices == 1 and _has_plain_output(body, sampling),
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


def _is_watched(route: Route, body: dict[str, Any], choices: int, is_streaming: bool) -> bool:
    if not is_streaming and any(body.get(name) for name in _NOT_STREAMABLE):
        return False
    if route is Route.CHAT:
        return True
    if route is Route.COMPLETIONS:
        return not _is_batch(body.get("prompt"))
    is_batch = _is_batch(body.get("input_ids")) or isinstance(body.get("text"), list)
    return choices == 1 and not is_batch and not isinstance(body.get("sampling_params"), list)


def _is_batch(prompt: object) -> bool:
    return isinstance(prompt, list) and not all(isinstance(token, int) for token in prompt)


def _has_plain_output(body: dict[str, Any], sampling: dict[str, Any]) -> bool:
    response_format = body.get("response_format")
    if isinstance(response_format, dict) and response_format.get("type") not in (None, "text"):
        return False
    if any(body.get(name) or sampling.get(name) for name in _GRAMMAR_FIELDS):
        return False
    if body.get("best_of") not in (None, 1):
        return False
    # logprobs may be 0, which asks for the chosen token's own
    return all(
        body.get(name) in (None, False, "", [], {}) or _is_off(body, name)
        for name in _NOT_CONTINUED
    )


def _is_off(body: dict[str, Any], name: str) -> bool:
    return name == "tools" and body.get("tool_choice") == "none"
