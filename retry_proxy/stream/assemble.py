"""Assembles streamed chunks of an OpenAI route back into the body of a non-streaming answer."""

from collections.abc import Sequence
from typing import Any

from retry_proxy.engines.adapter import Piece
from retry_proxy.engines.call import GenerationCall, Route

_OBJECT = {Route.CHAT: "chat.completion", Route.COMPLETIONS: "text_completion"}
_NOT_COPIED = ("delta", "text", "logprobs", "index", "token_ids", "finish_reason")


class OpenAiAssembler:
    """Folds the pieces of the delivered attempts, in order."""

    def __init__(self, call: GenerationCall) -> None:
        self._call = call
        self._choices: dict[int, dict[str, Any]] = {}
        self._top: dict[str, Any] = {}

    def add(self, pieces: Sequence[Piece]) -> None:
        """Takes released pieces."""
        for piece in pieces:
            self._add_top(piece.payload)
            for choice in piece.payload.get("choices") or ():
                self._add_choice(choice)

    def finish_at_limit(self) -> None:
        """The token limit ended the answer."""
        self._choice(0)["finish_reason"] = "length"

    def body(self, identity: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
        """The answer."""
        body = {**self._top, **identity, "object": _OBJECT[self._call.route]}
        body["choices"] = [self._final(index) for index in sorted(self._choices)]
        body["usage"] = usage
        return body

    def last_usage(self) -> Any:
        """The usage object that the engine told last."""
        return self._top.get("usage")

    def _add_top(self, payload: dict[str, Any]) -> None:
        for name, value in payload.items():
            if name == "choices" or value is None:
                continue
            if name == "sglext" and not self._call.wants_spec_details:
                continue
            if name == "prompt_token_ids" and not self._call.wants_token_ids:
                continue
            self._top[name] = value

    def _choice(self, index: int) -> dict[str, Any]:
        if index not in self._choices:
            self._choices[index] = {"text": [], "delta": {}, "extra": {}, "token_ids": []}
            self._choices[index] |= {"logprobs": None, "finish_reason": None}
        return self._choices[index]

    def _add_choice(self, choice: dict[str, Any]) -> None:
        state = self._choice(choice.get("index", 0))
        if isinstance(choice.get("text"), str):
            state["text"].append(choice["text"])
        if isinstance(choice.get("delta"), dict):
            _fold_delta(state["delta"], choice["delta"])
        if isinstance(choice.get("token_ids"), list):
            state["token_ids"] += choice["token_ids"]
        if choice.get("finish_reason") is not None:
            state["finish_reason"] = choice["finish_reason"]
        state["logprobs"] = _fold_logprobs(state["logprobs"], choice.get("logprobs"))
        for name, value in choice.items():
            if name not in _NOT_COPIED and (
                name != "prompt_token_ids" or self._call.wants_token_ids
            ):
                state["extra"][name] = value

    def _final(self, index: int) -> dict[str, Any]:
        state = self._choices[index]
        final: dict[str, Any] = {"index": index}
        if self._call.route is Route.CHAT:
            final["message"] = _message(state["delta"])
        else:
            final["text"] = "".join(state["text"])
        final["logprobs"] = state["logprobs"]
        final["finish_reason"] = state["finish_reason"]
        final.update(state["extra"])
        if self._call.wants_token_ids:
            final["token_ids"] = state["token_ids"]
        return final


def _fold_delta(total: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if value is None:
            continue
        if name == "tool_calls" and isinstance(value, list):
            calls = total.setdefault("tool_calls", {})
            for call in value:
                _fold_tool_call(calls, call)
        elif isinstance(value, str) and name != "role":
            total.setdefault(name, []).append(value)
        else:
            total[name] = value


def _fold_tool_call(calls: dict[int, dict[str, Any]], part: dict[str, Any]) -> None:
    call = calls.setdefault(part.get("index", 0), {"function": {"arguments": ""}})
    for name, value in part.items():
        if name == "function" and isinstance(value, dict):
            arguments = call["function"]["arguments"] + (value.get("arguments") or "")
            known = {key: entry for key, entry in value.items() if entry is not None}
            call["function"] = {**call["function"], **known, "arguments": arguments}
        elif name != "index" and value is not None:
            call[name] = value


def _fold_logprobs(total: Any, part: Any) -> Any:
    if not isinstance(part, dict):
        return total
    merged = dict(total or {})
    for name, value in part.items():
        if isinstance(value, list):
            merged[name] = [*(merged.get(name) or []), *value]
        elif name not in merged or value is not None:
            merged[name] = value
    return merged


def _message(delta: dict[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None}
    for name, value in delta.items():
        if name == "tool_calls":
            message[name] = [value[index] for index in sorted(value)]
        elif isinstance(value, list) and all(isinstance(part, str) for part in value):
            message[name] = "".join(value)
        else:
            message[name] = value
    if not message.get("content") and message.get("tool_calls"):
        message["content"] = None
    return message
