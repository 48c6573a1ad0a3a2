"""Writes SGLang's native format: text and ids are cumulative, ``meta_info`` is on every chunk."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from inference_backend.engine.request import FinishReason
from inference_backend.server.sanitizer_details import sanitizer_fields
from inference_backend.server.spec_details import spec_fields
from inference_backend.server.textflow import Finish, TextStep

encode = msgspec.json.encode


class NativeWriter:
    """Answers of /generate. See ``writer.Writer``.

    The cumulative text and ids are kept as encoded JSON and only ever appended to: a chunk costs a
    copy of them, not another encoding.
    """

    def __init__(self, rid: str, *, with_sanitizer: bool = False) -> None:
        self._rid, self._with_sanitizer = rid, with_sanitizer
        self._started_at = time.monotonic()
        self._text = bytearray()
        self._ids = bytearray()

    def opening(self) -> bytes:
        return b""

    def step(self, step: TextStep) -> bytes:
        self._append(step.text, step.token_ids)
        return b"data: " + self._body(step) + b"\n\n"

    def closing(self, last: TextStep) -> bytes:
        return b""

    def whole(self, text: str, token_ids: Sequence[int], last: TextStep) -> bytes:
        self._append(text, token_ids)
        return self._body(last)

    def _append(self, text: str, token_ids: Sequence[int]) -> None:
        self._text += encode(text)[1:-1]
        if token_ids:
            self._ids += b"," if self._ids else b""
            self._ids += encode(token_ids)[1:-1]

    def _body(self, step: TextStep) -> bytes:
        meta = encode(self._meta_info(step))
        parts = (
            b'{"text":"',
            self._text,
            b'","output_ids":[',
            self._ids,
            b'],"meta_info":',
            meta,
            b"}",
        )
        return b"".join(parts)

    def _meta_info(self, step: TextStep) -> Mapping[str, Any]:
        meta: dict[str, Any] = {
            "id": self._rid,
            "finish_reason": None
            if step.finish is None
            else finish_fields(step.finish, step.completion_tokens),
            "prompt_tokens": step.prompt_tokens,
            "completion_tokens": step.completion_tokens,
            "cached_tokens": step.cached_tokens,
            **spec_fields(step.counters, step.completion_tokens),
        }
        if self._with_sanitizer:
            meta["kv_sanitizer"] = sanitizer_fields(step.labels)
        if step.finish is not None:
            meta["e2e_latency"] = time.monotonic() - self._started_at
        return meta


def finish_fields(finish: Finish, completion_tokens: int) -> Mapping[str, Any]:
    """``finish_reason`` of ``meta_info``."""
    match finish.reason:
        case FinishReason.STOP:
            return {"type": "stop", "matched": finish.matched}
        case FinishReason.LENGTH:
            return {"type": "length", "length": completion_tokens}
        case FinishReason.ABORT:
            return {"type": "abort", "message": finish.message or "Aborted"}
