"""Turns released pieces of one or more attempts into one coherent client stream."""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from retry_proxy.engines.adapter import Piece, Prefix
from retry_proxy.engines.call import GenerationCall, Route
from retry_proxy.stream.sse import data_event

_encode_json = msgspec.json.Encoder().encode


class ClientEncoder(Protocol):
    """Writes one client stream."""

    def start_attempt(self, prefix: Prefix | None) -> None:
        """The next pieces are a new attempt's; ``prefix`` is what the client already has."""
        ...

    def encode(self, pieces: Sequence[Piece]) -> bytes:
        """Bytes for the client of pieces that are released together, maybe none."""
        ...

    def finish_at_limit(self) -> bytes:
        """The finish chunk for an answer that its token limit ended and no engine finished."""
        ...

    def close(self) -> bytes:
        """What comes after the last piece, ``[DONE]`` excepted."""
        ...


def build_encoder(call: GenerationCall) -> ClientEncoder:
    """The encoder of a route."""
    return GenerateEncoder(call) if call.route is Route.GENERATE else OpenAiEncoder(call)


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
        self._template: dict[str, Any] = {}

    def start_attempt(self, prefix: Prefix | None) -> None:
        self._is_continued = prefix is not None
        self._prefix_tokens = 0 if prefix is None else prefix.tokens

    def encode(self, pieces: Sequence[Piece]) -> bytes:
        return b"".join([self._encode(piece) for piece in pieces])

    def _encode(self, piece: Piece) -> bytes:
        payload = piece.payload
        self._note(piece)
        if not payload.get("choices"):
            return self._encode_extra(payload)
        is_changed = self._drop_role(payload)
        if is_changed and not piece.has_output and not piece.is_finish:
            return b""
        is_changed = self._strip(payload) or is_changed
        is_changed = self._keep_identity(payload) or is_changed
        is_changed = self._correct_usage(payload) or is_changed
        return data_event(_encode_json(payload)) if is_changed else piece.raw

    def finish_at_limit(self) -> bytes:
        return data_event(_encode_json(finish_chunk(self._call.route, self._template)))

    def close(self) -> bytes:
        if not (self._call.is_streaming and self._call.wants_usage):
            return b""
        chunk = {**self._template, **(self._last_extra or {}), **self._identity, "choices": []}
        chunk["usage"] = self.usage((self._last_extra or {}).get("usage"))
        if not self._call.wants_spec_details:
            chunk.pop("sglext", None)
        return data_event(_encode_json(chunk))

    def usage(self, told: Any) -> dict[str, Any]:
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

    @property
    def identity(self) -> dict[str, Any]:
        """``id`` and ``created`` that the client sees."""
        return self._identity

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
        if not self._call.wants_continuous_usage:
            if self._call.wants_usage:
                payload["usage"] = None
            else:
                del payload["usage"]
            return True
        if not self._is_continued:
            return False
        payload["usage"] = self.usage(usage)
        return True


def finish_chunk(route: Route, template: dict[str, Any]) -> dict[str, Any]:
    """A chunk that only says that the token limit was reached."""
    choice: dict[str, Any] = {"index": 0, "finish_reason": "length"}
    if route is Route.CHAT:
        choice["delta"] = {}
    else:
        choice["text"] = ""
    return {**template, "choices": [choice]}


class GenerateEncoder:
    """SGLang's native route.

    Cumulative text and counts, so a continuation is put on top of the prefix, and of several chunks
    released at once the last one says all. Under ``--incremental-streaming-output`` each chunk
    holds what is new, and all of them go on.
    """

    def __init__(self, call: GenerationCall) -> None:
        self._id: str | None = call.client_rid
        self._is_incremental = False
        self._prefix: Prefix | None = None
        self._text: list[str] = []  # of this attempt
        self._token_ids: list[int] = []
        self._prompt_tokens: int | None = None
        self._last: dict[str, Any] | None = None

    def start_attempt(self, prefix: Prefix | None) -> None:
        self._prefix = prefix
        self._text = []
        self._token_ids = []

    def encode(self, pieces: Sequence[Piece]) -> bytes:
        if any(piece.is_cumulative is False for piece in pieces):
            self._is_incremental = True
        data: list[bytes] = []
        for index, piece in enumerate(pieces):
            self._text.append(piece.text)
            self._token_ids += piece.token_ids or ()
            if self._is_incremental or index == len(pieces) - 1:
                data.append(self._chunk(piece))
        return b"".join(data)

    def finish_at_limit(self) -> bytes:
        assert self._last is not None, "no piece was released"
        meta = self._last["meta_info"]
        meta["finish_reason"] = {"type": "length", "length": meta.get("completion_tokens")}
        return data_event(_encode_json(self._last))

    def close(self) -> bytes:
        return b""

    def whole(self) -> dict[str, Any]:
        """The body of a non-streaming answer: the last chunk, with the whole text.

        The engine's own text where it is cumulative: a stop string that matched is cut from it.
        """
        assert self._last is not None, "no piece was released"
        if not self._is_incremental:
            return self._last
        before = self._prefix or Prefix("", 0, ())
        body = {**self._last, "text": before.text + "".join(self._text)}
        if before.token_ids is not None and "output_ids" in body:
            body["output_ids"] = [*before.token_ids, *self._token_ids]
        return body

    def _chunk(self, piece: Piece) -> bytes:
        payload = piece.payload
        meta = payload["meta_info"]
        if self._id is None:
            self._id = meta.get("id")
        if self._prompt_tokens is None:
            self._prompt_tokens = piece.prompt_tokens
        is_changed = piece.is_shed
        if piece.is_shed:
            self._restore(payload)
        if self._prefix is not None:
            is_changed = True
            self._rebase(payload, meta, self._prefix)
        if meta.get("id") != self._id:
            is_changed = True
            meta["id"] = self._id
        self._last = payload
        return data_event(_encode_json(payload)) if is_changed else piece.raw

    def _restore(self, payload: dict[str, Any]) -> None:
        payload["text"] = "".join(self._text)
        if "output_ids" in payload:
            payload["output_ids"] = list(self._token_ids)

    def _rebase(self, payload: dict[str, Any], meta: dict[str, Any], prefix: Prefix) -> None:
        ids = payload.get("output_ids")
        if not self._is_incremental:
            payload["text"] = prefix.text + payload.get("text", "")
            if isinstance(ids, list) and prefix.token_ids is not None:
                payload["output_ids"] = [*prefix.token_ids, *ids]
        if isinstance(meta.get("completion_tokens"), int):
            meta["completion_tokens"] += prefix.tokens
        if self._prompt_tokens is not None:
            meta["prompt_tokens"] = self._prompt_tokens
        reason = meta.get("finish_reason")
        if isinstance(reason, dict) and isinstance(reason.get("length"), int):
            reason["length"] += prefix.tokens
