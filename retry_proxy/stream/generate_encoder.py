"""SGLang's native route: several attempts as one stream."""

from collections.abc import Sequence
from typing import Any

import msgspec

from retry_proxy.engines.adapter import Piece, Prefix
from retry_proxy.engines.call import GenerationCall
from retry_proxy.errors import Unanswered
from retry_proxy.stream.sse import DONE, data_event, openai_error

_encode_json = msgspec.json.Encoder().encode


class GenerateEncoder:
    """SGLang's native route.

    Cumulative text and counts, so a continuation is put on top of the prefix, and of several chunks
    released at once the last one says all. Under ``--incremental-streaming-output`` each chunk
    holds what is new, and all of them go on.
    """

    def __init__(self, call: GenerationCall) -> None:
        self._id: str | None = call.client_rid
        self._is_incremental = False
        self._prefix: Prefix | None = None
        self._text: list[str] = []  # of this attempt
        self._token_ids: list[int] = []
        self._prompt_tokens: int | None = None
        self._last: dict[str, Any] | None = None

    def start_attempt(self, prefix: Prefix | None) -> None:
        self._prefix = prefix
        self._text = []
        self._token_ids = []

    def encode(self, pieces: Sequence[Piece]) -> bytes:
        if any(piece.is_cumulative is False for piece in pieces):
            self._is_incremental = True
        data: list[bytes] = []
        for index, piece in enumerate(pieces):
            self._text.append(piece.text)
            self._token_ids += piece.token_ids or ()
            if self._is_incremental or index == len(pieces) - 1:
                data.append(self._chunk(piece))
        return b"".join(data)

    def count_plain(self, tokens: int) -> None:
        raise AssertionError("no event of this route is plain")

    def finish_at_limit(self) -> bytes:
        assert self._last is not None, "no piece was released"
        meta = self._last["meta_info"]
        meta["finish_reason"] = {"type": "length", "length": meta.get("completion_tokens")}
        return data_event(_encode_json(self._last))

    def close(self) -> bytes:
        return b""

    def end_mark(self) -> bytes:
        return DONE

    def error(self, error: Unanswered) -> bytes:
        return openai_error(error)

    def whole(self) -> dict[str, Any]:
        """The body of a non-streaming answer: the last chunk, with the whole text.

        The engine's own text where it is cumulative: a stop string that matched is cut from it.
        """
        assert self._last is not None, "no piece was released"
        if not self._is_incremental:
            return self._last
        before = self._prefix or Prefix("", 0, ())
        body = {**self._last, "text": before.text + "".join(self._text)}
        if before.token_ids is not None and "output_ids" in body:
            body["output_ids"] = [*before.token_ids, *self._token_ids]
        return body

    def _chunk(self, piece: Piece) -> bytes:
        payload = piece.payload
        meta = payload["meta_info"]
        if self._id is None:
            self._id = meta.get("id")
        if self._prompt_tokens is None:
            self._prompt_tokens = piece.prompt_tokens
        is_changed = piece.is_shed
        if piece.is_shed:
            self._restore(payload)
        if self._prefix is not None:
            is_changed = True
            self._rebase(payload, meta, self._prefix)
        if meta.get("id") != self._id:
            is_changed = True
            meta["id"] = self._id
        self._last = payload
        return data_event(_encode_json(payload)) if is_changed else piece.raw

    def _restore(self, payload: dict[str, Any]) -> None:
        payload["text"] = "".join(self._text)
        if "output_ids" in payload:
            payload["output_ids"] = list(self._token_ids)

    def _rebase(self, payload: dict[str, Any], meta: dict[str, Any], prefix: Prefix) -> None:
        ids = payload.get("output_ids")
        if not self._is_incremental:
            payload["text"] = prefix.text + payload.get("text", "")
            if isinstance(ids, list) and prefix.token_ids is not None:
                payload["output_ids"] = [*prefix.token_ids, *ids]
        if isinstance(meta.get("completion_tokens"), int):
            meta["completion_tokens"] += prefix.tokens
        if self._prompt_tokens is not None:
            meta["prompt_tokens"] = self._prompt_tokens
        reason = meta.get("finish_reason")
        if isinstance(reason, dict) and isinstance(reason.get("length"), int):
            reason["length"] += prefix.tokens
