"""Anthropic's Messages: several attempts as one message."""

from collections.abc import Sequence
from typing import Any

import msgspec

from retry_proxy.engines.adapter import Piece, Prefix
from retry_proxy.engines.call import GenerationCall
from retry_proxy.errors import Unanswered, anthropic_error_body
from retry_proxy.stream.assemble_message import MessageAssembler
from retry_proxy.stream.sse import named_event

_encode_json = msgspec.json.Encoder().encode


class MessagesEncoder:
    """One ``message_start``, blocks counted on, one stop reason, one ``message_stop``.

    A continuation opens a message and a text block again: the client has both already. So that the
    text can go on in its block, the end of a block waits until the next event.
    """

    def __init__(self, call: GenerationCall) -> None:
        self._whole = None if call.is_streaming else MessageAssembler()
        self._message: dict[str, Any] | None = None
        self._prefix: Prefix | None = None
        self._open_index: int | None = None  # the client's open block
        self._next_index = 0
        self._shift = 0  # from the attempt's block numbers to the client's
        self._is_joining = False  # the attempt's first block may go on in the open one
        self._waiting_stop = b""
        self._output_tokens: int | None = None

    def start_attempt(self, prefix: Prefix | None) -> None:
        self._prefix = prefix
        self._waiting_stop = b""
        self._is_joining = self._open_index is not None
        self._shift = self._next_index - (1 if self._is_joining else 0)

    def encode(self, pieces: Sequence[Piece]) -> bytes:
        if self._whole is not None:
            self._whole.add(pieces)
        return b"".join([self._encode(piece) for piece in pieces])

    def _encode(self, piece: Piece) -> bytes:
        kind = piece.payload["type"]
        if kind == "content_block_delta":
            return self._delta(piece)
        if kind == "content_block_start":
            return self._block_start(piece)
        if kind == "content_block_stop":
            self._waiting_stop = self._numbered(piece)
            return b""
        if kind == "message_start":
            return self._message_start(piece)
        if kind == "message_delta":
            return self._end_block() + self._message_delta(piece)
        return b"" if kind == "message_stop" else piece.raw

    def count_plain(self, tokens: int) -> None:
        raise AssertionError("no event of this route is plain")

    def finish_at_limit(self) -> bytes:
        delta = {"stop_reason": "max_tokens", "stop_sequence": None}
        usage = {"output_tokens": self._output_tokens or 0}
        event = {"type": "message_delta", "delta": delta, "usage": usage}
        return self._end_block() + named_event("message_delta", _encode_json(event))

    def close(self) -> bytes:
        return self._end_block()

    def end_mark(self) -> bytes:
        return named_event("message_stop", b'{"type":"message_stop"}')

    def error(self, error: Unanswered) -> bytes:
        body = anthropic_error_body(str(error), error.code, error.status)
        return named_event("error", _encode_json(body))

    def whole(self) -> object:
        assert self._whole is not None, "a streamed answer has no body"
        return self._whole.body()

    def _message_start(self, piece: Piece) -> bytes:
        if self._message is not None:
            return b""
        self._message = piece.payload["message"]
        return piece.raw

    def _block_start(self, piece: Piece) -> bytes:
        block = piece.payload["content_block"]
        if self._is_joining and block.get("type") == "text":
            text = block.get("text")
            return self._joined_text(text) if text else b""
        before = self._end_block()
        if self._is_joining:  # the continuation begins with another kind of block
            self._is_joining = False
            self._shift += 1
        data = before + self._numbered(piece)
        self._open_index = piece.payload["index"]
        self._next_index = self._open_index + 1
        return data

    def _joined_text(self, text: str) -> bytes:
        delta = {"type": "text_delta", "text": text}
        event = {"type": "content_block_delta", "index": self._open_index, "delta": delta}
        return named_event("content_block_delta", _encode_json(event))

    def _delta(self, piece: Piece) -> bytes:
        self._is_joining = False
        return self._numbered(piece)

    def _message_delta(self, piece: Piece) -> bytes:
        usage = piece.payload.get("usage")
        if self._prefix is None or not isinstance(usage, dict):
            return piece.raw
        if piece.completion_tokens is not None:
            usage["output_tokens"] = self._prefix.tokens + piece.completion_tokens
        first = (self._message or {}).get("usage")
        if "input_tokens" in usage and isinstance(first, dict) and "input_tokens" in first:
            usage["input_tokens"] = first["input_tokens"]  # a continuation's holds the prefix
        return self._event(piece)

    def _numbered(self, piece: Piece) -> bytes:
        if self._prefix is None:
            return piece.raw
        piece.payload["index"] += self._shift
        return self._event(piece)

    def _event(self, piece: Piece) -> bytes:
        return named_event(piece.payload["type"], _encode_json(piece.payload))

    def _end_block(self) -> bytes:
        data, self._waiting_stop = self._waiting_stop, b""
        self._open_index = None
        return data
