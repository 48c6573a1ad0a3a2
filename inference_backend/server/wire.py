"""Request bodies, typed; also the fields that are only read to be refused (``refusals``)."""

from typing import Any, TypeVar

import msgspec

from inference_backend.errors import InvalidRequest

Body = TypeVar("Body")


class NativeSampling(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """``sampling_params`` of /generate; an unknown key is an error, as in SGLang."""

    max_new_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    sampling_seed: int | None = None
    n: int = 1
    min_p: float = 0.0
    min_new_tokens: int = 0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    repetition_penalty: float = 1.0
    logit_bias: dict[str, float] | None = None
    json_schema: str | None = None
    regex: str | None = None
    ebnf: str | None = None
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    no_stop_trim: bool = False
    stream_interval: int | None = None


class Bootstrap(msgspec.Struct, kw_only=True):
    """What a router adds for a pair of a prefill and a decode engine; names as in SGLang."""

    bootstrap_host: str | None = None
    bootstrap_port: int | None = None
    bootstrap_room: int | None = None


class NativeBody(Bootstrap, kw_only=True):
    """POST /generate."""

    text: str | None = None
    input_ids: list[int] | None = None
    rid: str | None = None
    stream: bool = False
    sampling_params: NativeSampling = msgspec.field(default_factory=NativeSampling)
    cache_salt: str | None = None
    extra_key: str | None = None
    return_logprob: bool = False
    return_kv_sanitizer: bool = False


class StreamOptions(msgspec.Struct, kw_only=True):
    include_usage: bool = False
    continuous_usage_stats: bool = False


class OpenAIBody(Bootstrap, kw_only=True):
    """What /v1/chat/completions and /v1/completions share."""

    model: str | None = None
    rid: str | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    seed: int | None = None
    cache_salt: str | None = None
    extra_key: str | None = None
    return_spec_tokens_details: bool = False
    return_token_ids: bool = False
    n: int | None = None
    min_p: float | None = None
    min_tokens: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | int | None = None
    response_format: dict[str, Any] | None = None
    regex: str | None = None
    ebnf: str | None = None


class ContentPart(msgspec.Struct, kw_only=True):
    type: str
    text: str | None = None


class Message(msgspec.Struct, kw_only=True):
    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[Any] | None = None


class ChatBody(OpenAIBody, kw_only=True):
    """POST /v1/chat/completions. ``input_ids`` replaces the rendered prompt, as in SGLang."""

    messages: list[Message] = []
    input_ids: list[int] | None = None
    max_completion_tokens: int | None = None
    continue_final_message: bool = False
    add_generation_prompt: bool = True
    chat_template_kwargs: dict[str, Any] | None = None
    top_logprobs: int | None = None
    tools: list[Any] | None = None
    tool_choice: str | dict[str, Any] | None = None


class CompletionBody(OpenAIBody, kw_only=True):
    """POST /v1/completions. ``prompt``: a text, token ids, or a list holding one of them."""

    prompt: str | list[str | int | list[int]]
    best_of: int | None = None
    echo: bool = False
    suffix: str | None = None


class AbortBody(msgspec.Struct, kw_only=True):
    """POST /abort_request."""

    rid: str = ""
    abort_all: bool = False


def decode_body(content: bytes, kind: type[Body]) -> Body:
    """Decodes JSON of a known shape.

    Raises:
        InvalidRequest: broken JSON, a wrong type or an unknown key; the message says where.
    """
    try:
        return msgspec.json.decode(content, type=kind)
    except RecursionError as error:
        raise InvalidRequest("the JSON body is nested too deeply") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"invalid request body: {error}") from error
