"""OpenAI's Responses: one attempt's events as they are, or a typed failure."""

from collections.abc import Sequence
from typing import Any

import msgspec

from retry_proxy.engines.adapter import Piece, Prefix
from retry_proxy.errors import Unanswered
from retry_proxy.stream.sse import named_event

_encode_json = msgspec.json.Encoder().encode


class ResponsesEncoder:
    """Nothing is continued here, so ids and sequence numbers are those of one attempt."""

    def __init__(self) -> None:
        self._response: dict[str, Any] | None = None  # as last told
        self._sequence_number = -1
        self._end_mark = b""

    def start_attempt(self, prefix: Prefix | None) -> None:
        assert prefix is None, "a response was continued"

    def encode(self, pieces: Sequence[Piece]) -> bytes:
        return b"".join([self._encode(piece) for piece in pieces])

    def _encode(self, piece: Piece) -> bytes:
        payload = piece.payload
        if isinstance(payload.get("response"), dict):
            self._response = payload["response"]
        if isinstance(payload.get("sequence_number"), int):
            self._sequence_number = payload["sequence_number"]
        if piece.is_last:
            self._end_mark = piece.raw
            return b""
        return piece.raw

    def count_plain(self, tokens: int) -> None:
        raise AssertionError("no event of this route is plain")

    def finish_at_limit(self) -> bytes:
        raise AssertionError("no engine counts the tokens of a response while it runs")

    def close(self) -> bytes:
        return b""

    def end_mark(self) -> bytes:
        return self._end_mark

    def error(self, error: Unanswered) -> bytes:
        """``response.failed`` once there is a response, else a bare ``error``."""
        number = self._sequence_number + 1
        event: dict[str, Any]
        if self._response is None:
            event = {"type": "error", "code": error.code, "message": str(error), "param": None}
            return named_event("error", _encode_json({**event, "sequence_number": number}))
        failure = {"code": error.code, "message": str(error)}
        response = {**self._response, "status": "failed", "error": failure}
        event = {"type": "response.failed", "sequence_number": number, "response": response}
        return named_event("response.failed", _encode_json(event))

    def whole(self) -> object:
        assert self._response is not None, "no piece was released"
        return self._response
