"""Writes the OpenAI formats, with SGLang's extensions on every chunk."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from inference_backend.server.spec_details import spec_fields
from inference_backend.server.textflow import TextStep

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """In what the two OpenAI routes differ.

    Attributes:
        has_role_chunk: the stream opens with a chunk that holds the role and no token.
        are_prompt_ids_in_choice: ``prompt_token_ids`` goes into the choice, not beside the choices.
    """

    chunk_object: str
    whole_object: str
    has_role_chunk: bool
    are_prompt_ids_in_choice: bool
    new_text: Callable[[str], Fields]
    whole_text: Callable[[str], Fields]


CHAT = Kind(
    chunk_object="chat.completion.chunk",
    whole_object="chat.completion",
    has_role_chunk=True,
    are_prompt_ids_in_choice=False,
    new_text=lambda text: {"delta": {"content": text}},
    whole_text=lambda text: {"message": {"role": "assistant", "content": text}},
)
COMPLETION = Kind(
    chunk_object="text_completion",
    whole_object="text_completion",
    has_role_chunk=False,
    are_prompt_ids_in_choice=True,
    new_text=lambda text: {"text": text},
    whole_text=lambda text: {"text": text},
)


@dataclass(frozen=True, slots=True)
class Extras:
    """What the client wants beside the text."""

    final_usage: bool = False
    usage_on_every_chunk: bool = False
    spec_details: bool = False
    token_ids: bool = False


class OpenAIWriter:
    """Answers of /v1/chat/completions and /v1/completions. See ``writer.Writer``."""

    def __init__(
        self, kind: Kind, rid: str, model: str, prompt_ids: Sequence[int], extras: Extras
    ) -> None:
        self._kind = kind
        self._extras = extras
        self._base: Fields = {"id": rid, "created": int(time.time()), "model": model}
        self._prompt_ids: Sequence[int] | None = prompt_ids if extras.token_ids else None

    def opening(self) -> bytes:
        if not self._kind.has_role_chunk:
            return b""
        choice: Fields = {"index": 0, "delta": {"role": "assistant", "content": ""}}
        return self._event(self._with_prompt_ids(self._chunk(choice), choice))

    def step(self, step: TextStep) -> bytes:
        choice: Fields = {"index": 0, **self._kind.new_text(step.text)} | finish_fields(step)
        if self._extras.token_ids:
            choice["token_ids"] = step.token_ids
        chunk = self._with_prompt_ids(self._chunk(choice), choice)
        if self._extras.usage_on_every_chunk:
            chunk["usage"] = usage_fields(step)
        return self._event(chunk | self._extension(step))

    def closing(self, last: TextStep) -> bytes:
        if not self._extras.final_usage:
            return b""
        chunk = self._base | {
            "object": self._kind.chunk_object,
            "choices": [],
            "usage": usage_fields(last),
        }
        return self._event(chunk | self._extension(last))

    def whole(self, text: str, token_ids: Sequence[int], last: TextStep) -> bytes:
        choice: Fields = {"index": 0, **self._kind.whole_text(text)} | finish_fields(last)
        if self._extras.token_ids:
            choice["token_ids"] = token_ids
        body = self._base | {
            "object": self._kind.whole_object,
            "choices": [choice],
            "usage": usage_fields(last),
        }
        return msgspec.json.encode(self._with_prompt_ids(body, choice) | self._extension(last))

    def _chunk(self, choice: Fields) -> Fields:
        choice.setdefault("finish_reason", None)
        return self._base | {"object": self._kind.chunk_object, "choices": [choice]}

    def _with_prompt_ids(self, body: Fields, choice: Fields) -> Fields:
        """Once, on the first chunk."""
        if self._prompt_ids is not None:
            place = choice if self._kind.are_prompt_ids_in_choice else body
            place["prompt_token_ids"], self._prompt_ids = self._prompt_ids, None
        return body

    def _extension(self, step: TextStep) -> Fields:
        if not self._extras.spec_details:
            return {}
        details = {"completion_tokens": step.completion_tokens}
        return {
            "sglext": {
                "spec_tokens_details": details | spec_fields(step.counters, step.completion_tokens)
            }
        }

    @staticmethod
    def _event(chunk: Mapping[str, Any]) -> bytes:
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def finish_fields(step: TextStep) -> Fields:
    if step.finish is None:
        return {"logprobs": None, "finish_reason": None, "matched_stop": None}
    return {
        "logprobs": None,
        "finish_reason": step.finish.reason.value,
        "matched_stop": step.finish.matched,
    }


def usage_fields(step: TextStep) -> Fields:
    return {
        "prompt_tokens": step.prompt_tokens,
        "completion_tokens": step.completion_tokens,
        "total_tokens": step.prompt_tokens + step.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": step.cached_tokens},
    }
