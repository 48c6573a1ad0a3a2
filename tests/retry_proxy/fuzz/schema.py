"""What the watched routes take, as OpenAPI; the monitor's routes tell their own.

The proxy publishes none for them: ``/openapi.json`` is the engine's page and passes through.
"""

from typing import Any

_TEXT, _COUNT = {"type": "string"}, {"type": "integer", "minimum": 1, "maximum": 4096}
_FLAG, _SHARE = {"type": "boolean"}, {"type": "number", "minimum": 0, "maximum": 2}
_ROLES = {"enum": ["system", "user", "assistant", "tool"]}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "required": required, "properties": properties}


_PART = _object(["type", "text"], type={"const": "text"}, text=_TEXT)
_CONTENT = {"anyOf": [_TEXT, {"type": "array", "items": _PART}]}
_MESSAGES = {"type": "array", "items": _object(["role", "content"], role=_ROLES, content=_CONTENT)}
_TOKENS = {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 200_000}}
_OPTIONS = {"stream": _FLAG, "temperature": _SHARE, "n": _COUNT, "logprobs": _FLAG}
_STREAM = _object([], include_usage=_FLAG, continuous_usage_stats=_FLAG)
_FORMAT = _object(["type"], type={"enum": ["text", "json_object", "json_schema"]})
_TOOL = _object(["type", "function"], type=_TEXT, function=_object(["name"], name=_TEXT))

BODIES = {
    "/v1/chat/completions": _object(
        ["model", "messages"],
        model=_TEXT,
        messages=_MESSAGES,
        max_tokens=_COUNT,
        max_completion_tokens=_COUNT,
        stream_options=_STREAM,
        response_format=_FORMAT,
        tools={"type": "array", "items": _TOOL},
        timings_per_token=_FLAG,
        **_OPTIONS,
    ),
    "/v1/completions": _object(
        ["model", "prompt"],
        model=_TEXT,
        prompt={"anyOf": [_TEXT, _TOKENS, {"type": "array", "items": _TEXT}]},
        max_tokens=_COUNT,
        stream_options=_STREAM,
        echo=_FLAG,
        **_OPTIONS,
    ),
    "/generate": _object(
        [],
        text=_TEXT,
        input_ids=_TOKENS,
        rid=_TEXT,
        sampling_params=_object([], max_new_tokens=_COUNT, temperature=_SHARE, n=_COUNT),
        stream=_FLAG,
    ),
    "/v1/messages": _object(
        ["model", "messages", "max_tokens"],
        model=_TEXT,
        messages=_MESSAGES,
        max_tokens=_COUNT,
        system=_CONTENT,
        thinking=_object(["type"], type={"enum": ["enabled", "disabled"]}),
        stream=_FLAG,
    ),
    "/v1/responses": _object(
        ["model", "input"],
        model=_TEXT,
        input={"anyOf": [_TEXT, _MESSAGES]},
        max_output_tokens=_COUNT,
        previous_response_id=_TEXT,
        background=_FLAG,
        stream=_FLAG,
    ),
}
_ANSWER = {"200": {"description": "an answer, whole or as events"}}


def watched_routes() -> dict[str, Any]:
    """OpenAPI paths of the routes that the proxy watches."""
    return {
        path: {
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": body}},
                },
                "responses": _ANSWER,
            }
        }
        for path, body in BODIES.items()
    }
