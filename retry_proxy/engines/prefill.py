"""Continuing a Messages answer: the released text as the last message of the assistant."""

from typing import Any

from detectors.observation import Observation
from retry_proxy.engines.adapter import ChunkReader, FinalCounters, Piece, Prefix
from retry_proxy.engines.call import GenerationCall

# An engine that says the prefix again is known by it; a shorter one could be the answer going on.
_SHORTEST_PREFIX = 16  # characters


def messages_prefill(call: GenerationCall, prefix: Prefix) -> dict[str, Any] | None:
    """The client's body, starting after ``prefix`` and with its token limit reduced.

    The limit is reduced by an estimate where the engine does not count its tokens.

    Returns:
        ``None`` if this request cannot be continued from this prefix: not after an assistant's
        message of the client's own, of which the released text may or may not hold an echo.
    """
    messages = call.body.get("messages")
    if not call.is_continuable or len(prefix.text) < _SHORTEST_PREFIX:
        return None
    if not isinstance(messages, list) or not messages or not isinstance(messages[-1], dict):
        return None
    if messages[-1].get("role") != "user" or _is_thinking(call.body.get("thinking")):
        return None
    body = {**call.body, "messages": [*messages, {"role": "assistant", "content": prefix.text}]}
    if call.max_tokens is not None:
        body["max_tokens"] = max(1, call.max_tokens - prefix.tokens)
    return body


def _is_thinking(thinking: object) -> bool:
    return isinstance(thinking, dict) and thinking.get("type") != "disabled"


class EchoReader:
    """Takes an echo of the prefix off the first text of a continuation."""

    def __init__(self, reader: ChunkReader, prefix: str) -> None:
        self._reader = reader
        self._prefix: str | None = prefix

    @property
    def final(self) -> FinalCounters | None:
        return self._reader.final

    def read_plain(self, text: str) -> Observation | None:
        return self._reader.read_plain(text) if self._prefix is None else None

    def read(self, payload: Any, raw: bytes) -> Piece:
        if self._prefix is None:
            return self._reader.read(payload, raw)
        delta = payload.get("delta") if isinstance(payload, dict) else None
        text = delta.get("text") if isinstance(delta, dict) else None
        if isinstance(delta, dict) and isinstance(text, str) and text:
            delta["text"] = text.removeprefix(self._prefix)
            self._prefix = None
        return self._reader.read(payload, raw)
