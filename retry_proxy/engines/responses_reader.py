"""Reads the events of OpenAI's Responses API (``/v1/responses``)."""

from typing import Any

from retry_proxy.engines.adapter import Piece
from retry_proxy.engines.event_reader import EventReader, Output, event_type, member, text_of
from retry_proxy.engines.openai_chunk import read_int
from retry_proxy.errors import EngineReportedError

_TEXT = ("response.output_text.delta", "response.refusal.delta")
# All other deltas hold reasoning, arguments of a call, code: written by the model as well.
_DELTA_SUFFIX = ".delta"
_ENDS = ("response.completed", "response.incomplete")
_FAILURES = ("error", "response.failed", "response.cancelled")
# Before the first of these the client has nothing of the answer.
_EMPTY = ("response.created", "response.queued", "response.in_progress")


class ResponsesReader(EventReader):
    """Every delta is watched; nothing is continued: the API has no way to ask for it."""

    def read(self, payload: Any, raw: bytes) -> Piece:
        kind = event_type(payload)
        if kind in _FAILURES:
            raise EngineReportedError(f"the engine reported an error in its stream ({kind})")
        is_end = kind in _ENDS
        response = member(payload, "response") if is_end or kind in _EMPTY else {}
        piece = self._track.piece(payload, raw, _output(kind, payload), is_finish=is_end)
        piece.is_last = is_end
        usage = response.get("usage")
        if isinstance(usage, dict):
            piece.prompt_tokens = read_int(usage, "input_tokens")
            piece.completion_tokens = read_int(usage, "output_tokens")
        return piece


def _output(kind: str, payload: dict[str, Any]) -> Output:
    if kind in _EMPTY or kind in _ENDS:
        return Output()
    if kind in _TEXT:
        return Output(text=text_of(payload, "delta"), is_continuable=False)
    hidden = ""
    if kind.endswith(_DELTA_SUFFIX) and isinstance(payload.get("delta"), str):
        hidden = payload["delta"]
    return Output(hidden=hidden, has_output=True, is_continuable=False)
