"""How a scripted generation behaves, and the events it is made of."""

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

DRAFTS = 3
FIRST_ID = 1000
_WORD = re.compile(r" w\d+")


class Fault(enum.Enum):
    """What goes wrong after ``Script.after`` tokens."""

    NONE = "none"
    LOW_ACCEPTANCE = "low_acceptance"  # one token per step
    HIGH_ACCEPTANCE = "high_acceptance"  # every draft accepted
    CUT = "cut"  # the connection breaks
    STALL = "stall"  # nothing more comes
    STALL_HEAD = "stall_head"  # not even a status comes
    STATUS = "status"  # an error status instead of a stream
    BAD_JSON = "bad_json"
    BAD_SSE = "bad_sse"
    ERROR_EVENT = "error_event"  # an in-band error
    ENGINE_ABORT = "engine_abort"  # finish reason "abort"
    NO_FINISH = "no_finish"  # [DONE] without a finish reason
    CUT_AFTER_FINISH = "cut_after_finish"


@dataclass(frozen=True, slots=True)
class Script:
    """How one generation behaves.

    Attributes:
        word: text of damaged tokens (acceptance faults only); ``None``: the right words all the
            same.
        damaged_from: damaged words begin here; ``None``: with the fault.
        field: of a chat's delta that holds the damaged tokens.
        pause_after: waits for ``FakeEngine.resume`` once so many tokens are out.
    """

    fault: Fault = Fault.NONE
    after: int = 0
    status: int = 500
    word: str | None = None
    damaged_from: int | None = None
    field: str = "content"
    pause_after: int | None = None


HEALTHY = Script()


@dataclass(slots=True)
class Step:
    """One verification step: its tokens and its counters."""

    token_ids: list[int]
    words: list[str]
    steps: int
    accepted: int
    field: str = "content"  # of a chat's delta


@dataclass(slots=True)
class Sent:
    """One generation request as the engine saw it."""

    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    completion_tokens: int = 0


def steps(start: int, total: int, script: Script) -> Iterator[Step]:
    """The steps of a generation of ``total`` tokens whose first word is number ``start``."""
    done = 0
    while done < total:
        is_damaged = done >= script.after
        size = 1 if done == 0 else 3
        if done > 0 and is_damaged and script.fault is Fault.LOW_ACCEPTANCE:
            size = 1
        if done > 0 and is_damaged and script.fault is Fault.HIGH_ACCEPTANCE:
            size = DRAFTS + 1
        size = min(size, total - done)
        numbers = range(start + done, start + done + size)
        words = [f" w{number}" for number in numbers]
        if script.damaged_from is not None:
            is_damaged = done >= script.damaged_from
        if is_damaged and script.word is not None:
            words = [script.word] * size
        field = script.field if is_damaged else "content"
        ids = [FIRST_ID + number for number in numbers]
        yield Step(ids, words, 0 if done == 0 else 1, 0 if done == 0 else size - 1, field)
        done += size


def prefix_text(sent: Sent) -> str:
    """The last message of the assistant, which a Messages request goes on from."""
    last = sent.body["messages"][-1]
    return str(last["content"]) if last["role"] == "assistant" else ""


def prefix_length(sent: Sent) -> int:
    """How many words of the answer the request already has."""
    body = sent.body
    if sent.path == "/v1/messages":
        return len(_WORD.findall(prefix_text(sent)))
    if "chat" in sent.path:
        last = body["messages"][-1]
        return len(_WORD.findall(last["content"])) if body.get("continue_final_message") else 0
    prompt = body.get("input_ids") or body.get("prompt") or body.get("text")
    if isinstance(prompt, list):
        return sum(1 for token in prompt if token >= FIRST_ID)
    return len(_WORD.findall(str(prompt)))


def max_tokens_of(sent: Sent) -> int | None:
    """The token limit of a request."""
    body = sent.body
    limits = (
        (body.get("sampling_params") or {}).get("max_new_tokens"),
        body.get("max_completion_tokens"),
        body.get("max_tokens"),
        body.get("max_output_tokens"),
    )
    return next((limit for limit in limits if limit is not None), None)


def _delta(field: str, text: str) -> dict[str, Any]:
    if field == "tool_calls":
        call = {"index": 0, "id": "call_1", "type": "function"}
        return {"tool_calls": [{**call, "function": {"name": "f", "arguments": text}}]}
    return {field: text}


class Chunks:
    """Writes the events of one generation in the shape of its route."""

    def __init__(self, sent: Sent, is_stock: bool) -> None:
        self._sent = sent
        self._is_stock = is_stock
        self._text = ""
        self._ids: list[int] = []
        self._steps = 0
        self._accepted = 0

    def opening(self) -> list[bytes]:
        """Chat's role chunk."""
        if "chat" not in self._sent.path:
            return []
        delta = {"role": "assistant", "content": ""}
        return [self._event(self._openai({"delta": delta, "finish_reason": None}))]

    def step(self, step: Step, reason: str | None) -> bytes:
        """One step's chunk."""
        text = "".join(step.words)
        self._text += text
        self._ids += step.token_ids
        self._steps += step.steps
        self._accepted += step.accepted
        if self._sent.path == "/generate":
            return self._event(self._native(reason))
        choice: dict[str, Any] = {"finish_reason": reason}
        choice.update(
            {"delta": _delta(step.field, text)} if "chat" in self._sent.path else {"text": text}
        )
        if self._sent.body.get("return_token_ids"):
            choice["token_ids"] = step.token_ids
        return self._event(self._openai(choice))

    def closing(self) -> list[bytes]:
        """Chunks without choices: statistics and usage."""
        if self._sent.path == "/generate":
            return []
        events = []
        options = self._sent.body.get("stream_options") or {}
        if self._is_stock and self._sent.body.get("return_spec_tokens_details"):
            extra = {**self._base(), "choices": [], "sglext": self._extension()}
            events.append(self._event(extra))
        if options.get("include_usage"):
            events.append(self._event({**self._base(), "choices": [], "usage": self._usage()}))
        return events

    def error(self) -> bytes:
        """An in-band error."""
        return b'data: {"error": {"message": "scripted", "code": 500}}\n\n'

    def _native(self, reason: str | None) -> dict[str, Any]:
        finish: dict[str, Any] | None = None if reason is None else {"type": reason}
        if finish is not None and reason == "length":
            finish["length"] = len(self._ids)
        meta = {
            "id": self._sent.body.get("rid", "none"),
            "finish_reason": finish,
            "prompt_tokens": self._prompt_tokens(),
            "completion_tokens": len(self._ids),
        }
        if self._steps and (not self._is_stock or reason is not None):
            meta |= self._counters()
        return {"text": self._text, "output_ids": list(self._ids), "meta_info": meta}

    def _base(self) -> dict[str, Any]:
        kind = "chat.completion.chunk" if "chat" in self._sent.path else "text_completion"
        return {
            "id": self._sent.body.get("rid", "none"),
            "object": kind,
            "created": 1000 + id(self) % 1000,
            "model": "fake-model",
        }

    def _openai(self, choice: dict[str, Any]) -> dict[str, Any]:
        payload: dict[str, Any] = {**self._base(), "choices": [{"index": 0, **choice}]}
        body = self._sent.body
        if body.get("return_spec_tokens_details") and not self._is_stock:
            payload["sglext"] = self._extension()
        if (body.get("stream_options") or {}).get("continuous_usage_stats"):
            payload["usage"] = self._usage()
        return payload

    def _extension(self) -> dict[str, Any]:
        details: dict[str, Any] = {"completion_tokens": len(self._ids)}
        if self._steps:
            details |= self._counters()
        return {"spec_tokens_details": details}

    def _counters(self) -> dict[str, Any]:
        proposed = self._steps * DRAFTS
        return {
            "spec_verify_ct": self._steps,
            "spec_accept_length": len(self._ids) / self._steps,
            "spec_accept_rate": self._accepted / proposed,
            "spec_num_correct_drafts": self._accepted,
            "spec_num_proposed_drafts": proposed,
        }

    def _usage(self) -> dict[str, int]:
        prompt, completion = self._prompt_tokens(), len(self._ids)
        return {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
        }

    def _prompt_tokens(self) -> int:
        return 7 + prefix_length(self._sent)

    def _event(self, payload: dict[str, Any]) -> bytes:
        return b"data: " + msgspec.json.encode(payload) + b"\n\n"
