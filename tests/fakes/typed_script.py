"""The events of one generation in the typed APIs: Anthropic's Messages and OpenAI's Responses."""

from typing import Any

import msgspec

from tests.fakes.script import DRAFTS, Sent, Step, prefix_length, prefix_text

_MESSAGE_REASONS = {"stop": "end_turn", "length": "max_tokens"}


class TypedChunks:
    """What both have in common.

    With ``is_stock`` no acceptance is told, as on every real engine's typed routes.
    """

    def __init__(self, sent: Sent, is_stock: bool) -> None:
        self._sent = sent
        self._is_stock = is_stock
        self._text = ""
        self._tokens = 0
        self._steps = 0
        self._accepted = 0
        self._reason: str | None = None
        self._number = -1

    def _count(self, step: Step, reason: str | None) -> str:
        text = "".join(step.words)
        self._text += text
        self._tokens += len(step.token_ids)
        self._steps += step.steps
        self._accepted += step.accepted
        self._reason = reason
        return text

    def _event(self, kind: str, **fields: Any) -> bytes:
        self._number += 1
        payload = {"type": kind, **fields}
        return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(payload) + b"\n\n"

    def _counters(self) -> dict[str, Any]:
        if self._is_stock:
            return {}
        details = {
            "completion_tokens": self._tokens,
            "spec_verify_ct": self._steps,
            "spec_num_correct_drafts": self._accepted,
            "spec_num_proposed_drafts": self._steps * DRAFTS,
        }
        return {"sglext": {"spec_tokens_details": details}}


class MessagesChunks(TypedChunks):
    """Like llama.cpp, it says a prefix that it goes on from again."""

    def opening(self) -> list[bytes]:
        usage = {"input_tokens": 7 + prefix_length(self._sent), "output_tokens": 0}
        message: dict[str, Any] = {
            "id": f"msg_{id(self)}",
            "type": "message",
            "role": "assistant",
            "content": [],
        }
        message |= {"model": "fake-model", "stop_reason": None, "stop_sequence": None}
        block = {"type": "text", "text": ""}
        return [
            self._event("message_start", message={**message, "usage": usage}),
            self._event("content_block_start", index=0, content_block=block),
            self._event("ping"),
        ]

    def step(self, step: Step, reason: str | None) -> bytes:
        is_first = not self._text
        text = self._count(step, reason)
        if is_first:
            text = prefix_text(self._sent) + text
        delta = {"type": "text_delta", "text": text}
        event = self._event("content_block_delta", index=0, delta=delta, **self._counters())
        return event if reason is None else event + self._end(reason)

    def closing(self) -> list[bytes]:
        return [self._event("message_stop")] if self._reason else []

    def error(self) -> bytes:
        return self._event("error", error={"type": "api_error", "message": "scripted"})

    def _end(self, reason: str) -> bytes:
        delta = {"stop_reason": _MESSAGE_REASONS[reason], "stop_sequence": None}
        usage = {"input_tokens": 7 + prefix_length(self._sent), "output_tokens": self._tokens}
        stop = self._event("content_block_stop", index=0)
        return stop + self._event("message_delta", delta=delta, usage=usage)


class ResponsesChunks(TypedChunks):
    """One message of one text part."""

    def opening(self) -> list[bytes]:
        item = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
        part = {"type": "output_text", "text": "", "annotations": []}
        return [
            self._numbered("response.created", response=self._response("in_progress")),
            self._numbered("response.in_progress", response=self._response("in_progress")),
            self._numbered("response.output_item.added", output_index=0, item=item),
            self._numbered("response.content_part.added", **self._place(), part=part),
        ]

    def step(self, step: Step, reason: str | None) -> bytes:
        text = self._count(step, reason)
        place = {**self._place(), **self._counters()}
        event = self._numbered("response.output_text.delta", **place, delta=text)
        if reason is not None:
            done = {**self._place(), "text": self._text}
            event += self._numbered("response.output_text.done", **done)
        return event

    def closing(self) -> list[bytes]:
        if self._reason is None:
            return []
        status = "incomplete" if self._reason == "length" else "completed"
        return [self._numbered(f"response.{status}", response=self._response(status))]

    def error(self) -> bytes:
        return self._numbered("error", code="server_error", message="scripted", param=None)

    def _place(self) -> dict[str, Any]:
        return {"item_id": "msg_1", "output_index": 0, "content_index": 0}

    def _numbered(self, kind: str, **fields: Any) -> bytes:
        return self._event(kind, sequence_number=self._number + 1, **fields)

    def _response(self, status: str) -> dict[str, Any]:
        part = {"type": "output_text", "text": self._text, "annotations": []}
        item = {"id": "msg_1", "type": "message", "role": "assistant", "status": status}
        usage = {"input_tokens": 7, "output_tokens": self._tokens}
        usage["total_tokens"] = 7 + self._tokens
        is_over = status != "in_progress"
        return {
            "id": f"resp_{id(self)}",
            "object": "response",
            "created_at": 1000,
            "model": "fake-model",
            "status": status,
            "output": [{**item, "content": [part]}] if is_over else [],
            "usage": usage if is_over else None,
        }
