"""Assembles the events of one Messages stream back into the body of a non-streaming answer."""

from collections.abc import Sequence
from typing import Any

import msgspec

from retry_proxy.engines.adapter import Piece

_TEXT_FIELDS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


class MessageAssembler:
    """Folds the pieces of the delivered attempt, in order."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, list[str]] = {}  # of tools, as JSON in pieces

    def add(self, pieces: Sequence[Piece]) -> None:
        """Takes released pieces."""
        for piece in pieces:
            payload = piece.payload
            kind = payload["type"]
            if kind == "message_start":
                self._message = {**payload["message"]}
            elif kind == "content_block_start":
                self._blocks[payload.get("index", 0)] = {**payload["content_block"]}
            elif kind == "content_block_delta":
                self._add_delta(payload.get("index", 0), payload["delta"])
            elif kind == "message_delta":
                self._end(payload)

    def body(self) -> dict[str, Any]:
        """The answer."""
        for index, parts in self._inputs.items():
            self._blocks[index]["input"] = _parsed("".join(parts))
        content = [self._blocks[index] for index in sorted(self._blocks)]
        return {**self._message, "content": content}

    def _add_delta(self, index: int, delta: dict[str, Any]) -> None:
        block = self._blocks.setdefault(index, {"type": "text", "text": ""})
        kind = delta.get("type")
        if kind == "input_json_delta":
            self._inputs.setdefault(index, []).append(delta.get("partial_json") or "")
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta.get("citation")]
        elif name := _TEXT_FIELDS.get(str(kind)):
            block[name] = (block.get(name) or "") + (delta.get(name) or "")

    def _end(self, payload: dict[str, Any]) -> None:
        self._message.update(payload["delta"])
        usage = payload.get("usage")
        if isinstance(usage, dict):
            told = {name: value for name, value in usage.items() if value is not None}
            self._message["usage"] = {**(self._message.get("usage") or {}), **told}


def _parsed(text: str) -> Any:
    """A tool's input; what is no JSON stays text, for the client to see what the model wrote."""
    try:
        return msgspec.json.decode(text) if text else {}
    except msgspec.DecodeError:
        return text
