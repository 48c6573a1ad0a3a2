"""Reads the events of Anthropic's Messages API (``/v1/messages``)."""

from typing import Any

from retry_proxy.engines.adapter import Piece
from retry_proxy.engines.event_reader import EventReader, Output, event_type, member, text_of
from retry_proxy.engines.openai_chunk import read_int
from retry_proxy.errors import MalformedStream

# kind of a delta -> where its text lies, and whether that is answer text
_DELTAS = {
    "text_delta": ("text", True),
    "thinking_delta": ("thinking", False),
    "input_json_delta": ("partial_json", False),
}


class MessagesReader(EventReader):
    """Text, thinking and tool input are all watched; only text can be continued."""

    def read(self, payload: Any, raw: bytes) -> Piece:
        kind = event_type(payload)
        output, usage, is_finish = Output(), payload.get("usage"), False
        if kind == "message_start":
            usage = member(payload, "message").get("usage")
        elif kind == "content_block_start":
            output = _block(member(payload, "content_block"))
            _check_index(payload)
        elif kind == "content_block_delta":
            output = _delta(member(payload, "delta"))
            _check_index(payload)
        elif kind == "content_block_stop":
            _check_index(payload)
        elif kind == "message_delta":
            is_finish = member(payload, "delta").get("stop_reason") is not None
        piece = self._track.piece(payload, raw, output, is_finish=is_finish)
        piece.is_last = kind == "message_stop"
        if isinstance(usage, dict):
            piece.prompt_tokens = read_int(usage, "input_tokens")
            piece.completion_tokens = read_int(usage, "output_tokens")
        return piece


def _check_index(payload: dict[str, Any]) -> None:
    """A block's events say which block.

    Raises:
        MalformedStream: one does not.
    """
    index = payload.get("index")
    if not isinstance(index, int) or isinstance(index, bool):
        raise MalformedStream("a block's event has no index")


def _block(block: dict[str, Any]) -> Output:
    """A block other than text cannot be continued, even while it is empty."""
    if block.get("type") == "text":
        return Output(text=text_of(block, "text"))
    thinking = text_of(block, "thinking") if block.get("type") == "thinking" else ""
    return Output(hidden=thinking, has_output=True, is_continuable=False)


def _delta(delta: dict[str, Any]) -> Output:
    name, is_text = _DELTAS.get(str(delta.get("type")), (None, False))
    if name is None:  # a signature, a citation, or what is not known yet
        return Output(has_output=True, is_continuable=False)
    text = text_of(delta, name)
    if is_text:
        return Output(text=text)
    return Output(hidden=text, has_output=True, is_continuable=False)
