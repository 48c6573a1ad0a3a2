"""Chat and completions: several attempts as one stream."""

from collections.abc import Sequence
from typing import Any

import msgspec

from retry_proxy.engines.adapter import Piece, Prefix
from retry_proxy.engines.call import GenerationCall, Route
from retry_proxy.errors import Unanswered
from retry_proxy.stream.assemble import OpenAiAssembler
from retry_proxy.stream.sse import DONE, data_event, openai_error

_encode_json = msgspec.json.Encoder().encode


class OpenAiEncoder:
    """Chat and completions: stable id and ``created``, one role chunk, one usage chunk at the end.

    What the proxy asked for and the client did not is stripped. A piece that needs no change goes
    on as the bytes it came in.
    """

    def __init__(self, call: GenerationCall) -> None:
        self._call = call
        self._identity: dict[str, Any] = {}
        self._has_role = False
        self._is_continued = False
        self._prefix_tokens = 0
        self._prompt_tokens: int | None = None
        self._completion_tokens = 0
        self._last_extra: dict[str, Any] | None = None  # last chunk without choices
        self._told_usage: Any = None  # the last one beside a choice
        self._template: dict[str, Any] = {}
        self._whole = None if call.is_streaming else OpenAiAssembler(call)

    def start_attempt(self, prefix: Prefix | None) -> None:
        self._is_continued = prefix is not None
        self._prefix_tokens = 0 if prefix is None else prefix.tokens

    def encode(self, pieces: Sequence[Piece]) -> bytes:
        if self._whole is not None:
            self._whole.add(pieces)
        return b"".join([self._encode(piece) for piece in pieces])

    def count_plain(self, tokens: int) -> None:
        self._completion_tokens += tokens

    def _encode(self, piece: Piece) -> bytes:
        payload = piece.payload
        self._note(piece)
        if not payload.get("choices"):
            return self._encode_extra(payload)
        is_changed = self._drop_role(payload)
        if is_changed and not piece.has_output and not piece.is_finish:
            return b""
        is_changed = self._strip(payload) or is_changed
        is_changed = self._strip_timings(piece) or is_changed
        is_changed = self._keep_identity(payload) or is_changed
        is_changed = self._correct_usage(payload) or is_changed
        return data_event(_encode_json(payload)) if is_changed else piece.raw

    def finish_at_limit(self) -> bytes:
        if self._whole is not None:
            self._whole.finish_at_limit()
        return data_event(_encode_json(finish_chunk(self._call.route, self._template)))

    def close(self) -> bytes:
        if not (self._call.is_streaming and self._call.wants_usage):
            return b""
        chunk = {**self._template, **(self._last_extra or {}), **self._identity, "choices": []}
        chunk["usage"] = self._usage((self._last_extra or {}).get("usage") or self._told_usage)
        if not self._call.wants_spec_details:
            chunk.pop("sglext", None)
        return data_event(_encode_json(chunk))

    def end_mark(self) -> bytes:
        return DONE

    def error(self, error: Unanswered) -> bytes:
        return openai_error(error)

    def whole(self) -> object:
        assert self._whole is not None, "a streamed answer has no body"
        return self._whole.body(self._identity, self._usage(self._whole.last_usage()))

    def _usage(self, told: Any) -> dict[str, Any]:
        """Usage of the whole answer.

        The first attempt's prompt, the tokens of all delivered parts.
        """
        prompt = self._prompt_tokens or 0
        completion = self._completion_tokens
        base = told if isinstance(told, dict) else {}
        return {
            **base,
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    def _note(self, piece: Piece) -> None:
        if not self._identity:
            self._identity = {
                name: piece.payload[name] for name in ("id", "created") if name in piece.payload
            }
            if self._call.client_rid is not None:
                self._identity["id"] = self._call.client_rid
            names = ("object", "model", "system_fingerprint")
            self._template = {
                **self._identity,
                **{name: piece.payload[name] for name in names if name in piece.payload},
            }
        if self._prompt_tokens is None and piece.prompt_tokens is not None:
            self._prompt_tokens = max(0, piece.prompt_tokens - self._prefix_tokens)
        if piece.completion_tokens is not None:
            told = self._prefix_tokens + piece.completion_tokens
            self._completion_tokens = max(self._completion_tokens, told)
        elif piece.tokens:
            self._completion_tokens += piece.tokens

    def _encode_extra(self, payload: dict[str, Any]) -> bytes:
        """Usage goes out once, at the end; SGLang's statistics only to who asked."""
        if payload.get("usage") is not None:
            self._last_extra = payload
            return b""
        if "sglext" in payload and not self._call.wants_spec_details:
            return b""
        self._keep_identity(payload)
        return data_event(_encode_json(payload))

    def _drop_role(self, payload: dict[str, Any]) -> bool:
        """A continuation opens the message again; the client has seen the role already."""
        if not self._is_continued or self._call.route is not Route.CHAT:
            return False
        is_changed = False
        for choice in payload["choices"]:
            if choice["delta"].pop("role", None) is not None:
                is_changed = True
        return is_changed

    def _strip(self, payload: dict[str, Any]) -> bool:
        call = self._call
        is_changed = False
        if not call.wants_spec_details and payload.pop("sglext", None) is not None:
            is_changed = True
        if call.wants_token_ids:
            return is_changed
        if payload.pop("prompt_token_ids", None) is not None:
            is_changed = True
        for choice in payload["choices"]:
            for name in ("token_ids", "prompt_token_ids"):
                if choice.pop(name, None) is not None:
                    is_changed = True
        return is_changed

    def _strip_timings(self, piece: Piece) -> bool:
        """llama.cpp tells them unasked on the last chunk alone, which a chat's usage chunk is."""
        has_usage_chunk = self._call.wants_usage and self._call.route is Route.CHAT
        if self._call.wants_timings or (piece.is_finish and not has_usage_chunk):
            return False
        return piece.payload.pop("timings", None) is not None

    def _keep_identity(self, payload: dict[str, Any]) -> bool:
        is_changed = False
        for name, value in self._identity.items():
            if payload.get(name) != value:
                payload[name] = value
                is_changed = True
        return is_changed

    def _correct_usage(self, payload: dict[str, Any]) -> bool:
        usage = payload.get("usage")
        if usage is None:
            return False
        self._told_usage = usage
        if not self._call.wants_continuous_usage:
            if self._call.wants_usage:
                payload["usage"] = None
            else:
                del payload["usage"]
            return True
        if not self._is_continued:
            return False
        payload["usage"] = self._usage(usage)
        return True


def finish_chunk(route: Route, template: dict[str, Any]) -> dict[str, Any]:
    """A chunk that only says that the token limit was reached."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": "length"}
    if route is Route.CHAT:
        choice["delta"] = {}
    else:
        choice["text"] = ""
    return {**template, "choices": [choice]}
