"""From a request body to a job: what to run and how to write it. All refusals are made here."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from inference_backend.engine.request import GenerationRequest, SamplingParams
from inference_backend.errors import InvalidRequest
from inference_backend.server.failures import UnknownModel
from inference_backend.server.native import NativeWriter
from inference_backend.server.openai import CHAT, COMPLETION, Extras, Kind, OpenAIWriter
from inference_backend.server.ports import Role, ServedModel, Tokenizer
from inference_backend.server.prompts import Prompts
from inference_backend.server.refusals import refuse_unsupported
from inference_backend.server.sampling import native_params, openai_params, read_stops
from inference_backend.server.wire import (
    Bootstrap,
    ChatBody,
    CompletionBody,
    NativeBody,
    OpenAIBody,
    StreamOptions,
    decode_body,
)
from inference_backend.server.writer import Writer

MAX_RID_CHARS = 256
MAX_ROOM = 2**63
DEFAULT_NAME = "default"  # SGLang's clients send it for "whatever is served"


@dataclass(frozen=True, slots=True)
class Job:
    """One checked request."""

    request: GenerationRequest
    stops: tuple[str, ...]
    is_streaming: bool
    writer: Writer


Bodies = NativeBody | OpenAIBody
ReadJob = Callable[[bytes], Awaitable[Job]]


class Jobs:
    """Reads the bodies of the three generation routes.

    Each method raises ``InvalidRequest`` (and the OpenAI ones ``UnknownModel``), naming the field.
    """

    def __init__(self, tokenizer: Tokenizer, model: ServedModel) -> None:
        self._prompts = Prompts(tokenizer, model)
        self._model = model

    async def of_native(self, content: bytes) -> Job:
        body = decode_body(content, NativeBody)
        refuse_unsupported(body)
        refuse_unsupported(body.sampling_params)
        rid = read_rid(body.rid)
        stops = read_stops(body.sampling_params.stop)
        prompt = await self._prompts.of_native(body)
        model = self._model
        params = native_params(
            body.sampling_params, len(prompt), model.max_context, model.vocab_size
        )
        request = self._request(rid, prompt, params, body)
        writer = NativeWriter(rid, with_sanitizer=body.return_kv_sanitizer)
        return Job(request, stops, body.stream, writer)

    async def of_chat(self, content: bytes) -> Job:
        body = decode_body(content, ChatBody)
        self._check_openai(body)
        return self._openai_job(body, await self._prompts.of_chat(body), CHAT)

    async def of_completion(self, content: bytes) -> Job:
        body = decode_body(content, CompletionBody)
        self._check_openai(body)
        return self._openai_job(body, await self._prompts.of_completion(body), COMPLETION)

    def _request(
        self, rid: str, prompt: tuple[int, ...], params: SamplingParams, body: Bodies
    ) -> GenerationRequest:
        """A prefill computes the prompt and one token, whatever was asked for."""
        prefill, room = read_bootstrap(body)
        if self._model.role is Role.PREFILL:
            params, prefill = replace(params, max_new_tokens=1), None
        if self._model.role is Role.UNIFIED:
            prefill = room = None  # as SGLang: a server that is no half of a pair ignores them
        return GenerationRequest(rid, prompt, params, read_salt(body), prefill, room)

    def _check_openai(self, body: OpenAIBody) -> None:
        if body.model not in (None, DEFAULT_NAME, self._model.name):
            raise UnknownModel(
                f"the model {body.model!r} is not served here, only {self._model.name!r}"
            )
        refuse_unsupported(body)

    def _openai_job(self, body: OpenAIBody, prompt: tuple[int, ...], kind: Kind) -> Job:
        rid = read_rid(body.rid)
        model = self._model
        params = openai_params(body, len(prompt), model.max_context, model.vocab_size)
        writer = OpenAIWriter(kind, rid, model.name, prompt, read_extras(body))
        request = self._request(rid, prompt, params, body)
        return Job(request, read_stops(body.stop), body.stream, writer)


def read_bootstrap(body: Bootstrap) -> tuple[tuple[str, int] | None, int | None]:
    """The prefill's address and the room, ``None`` where they are not given.

    Raises:
        InvalidRequest: a number is out of range.
    """
    room, host, port = body.bootstrap_room, body.bootstrap_host, body.bootstrap_port
    if room is not None and not 0 <= room < MAX_ROOM:
        raise InvalidRequest(f"bootstrap_room must be from 0 to 2**63 - 1, got {room}")
    if host is None or port is None:
        return None, room
    if not 0 < port < 65536:
        raise InvalidRequest(f"bootstrap_port must be from 1 to 65535, got {port}")
    return (host, port), room


def read_rid(rid: str | None) -> str:
    """The client's id, or a new one. An empty one would match every other as a prefix."""
    if rid is None:
        return uuid.uuid4().hex
    if not 0 < len(rid) <= MAX_RID_CHARS:
        raise InvalidRequest(f"rid must have 1 to {MAX_RID_CHARS} characters, got {len(rid)}")
    return rid


def read_salt(body: NativeBody | OpenAIBody) -> str:
    """Both names separate prefixes; a pair of them separates as a pair."""
    parts = [body.cache_salt or "", body.extra_key or ""]
    return "\0".join(parts) if any(parts) else ""


def read_extras(body: OpenAIBody) -> Extras:
    options = body.stream_options or StreamOptions()
    return Extras(
        final_usage=options.include_usage,
        usage_on_every_chunk=options.continuous_usage_stats,
        spec_details=body.return_spec_tokens_details,
        token_ids=body.return_token_ids,
    )
