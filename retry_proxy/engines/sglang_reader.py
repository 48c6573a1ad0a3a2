"""Reads SGLang's chunks: the native route, and what its OpenAI routes add."""

from typing import Any

from detectors.observation import Observation
from retry_proxy.engines.acceptance_track import AcceptanceTrack
from retry_proxy.engines.adapter import EngineProfile, FinalCounters, Piece
from retry_proxy.engines.openai_chunk import check_error, read_ids, read_int
from retry_proxy.engines.openai_reader import completion_of
from retry_proxy.engines.sglang_counters import read_counters
from retry_proxy.engines.token_count import TokenCount
from retry_proxy.errors import EngineReportedError, MalformedStream


class GenerateReader:
    """``/generate``: text and ids are cumulative.

    Or deltas under ``--incremental-streaming-output``.
    """

    def __init__(self, profile: EngineProfile) -> None:
        self._track = AcceptanceTrack(profile)
        self._count = TokenCount()
        self._text_length = 0
        self._ids_length = 0

    @property
    def final(self) -> FinalCounters | None:
        return self._track.final

    def read_plain(self, text: str) -> Observation | None:
        return None  # what such an event says depends on the others

    def read(self, payload: Any, raw: bytes) -> Piece:
        check_error(payload)
        meta = payload.get("meta_info")
        text = payload.get("text", "")
        if not isinstance(meta, dict) or not isinstance(text, str):
            raise MalformedStream("a chunk has no meta_info or its text is not text")
        is_first = self._text_length == self._ids_length == 0
        completion = read_int(meta, "completion_tokens")
        output_ids = read_ids(payload, "output_ids")
        is_cumulative = _is_cumulative(output_ids, completion)
        if is_cumulative:
            text, self._text_length = text[self._text_length :], max(self._text_length, len(text))
        new_ids = self._new_ids(output_ids, completion)
        new_tokens, tokens = self._count.observe(text, completion, None)
        is_finish = _finish(meta)
        seen = self._track.observe(
            text=text,
            new_tokens=new_tokens,
            token_ids=new_ids,
            counters=read_counters(meta, completion),
            is_finish=is_finish,
        )
        return Piece(
            payload=payload,
            raw=raw,
            observation=seen,
            text=text,
            tokens=tokens,
            is_estimated=self._count.is_estimated,
            token_ids=new_ids,
            has_output=bool(text),
            is_finish=is_finish,
            prompt_tokens=read_int(meta, "prompt_tokens"),
            completion_tokens=completion,
            is_cumulative=None if is_first else is_cumulative,
        )

    def _new_ids(
        self, output_ids: tuple[int, ...] | None, completion: int | None
    ) -> tuple[int, ...] | None:
        if output_ids is None:
            return None
        new_ids = (
            output_ids[self._ids_length :] if _is_cumulative(output_ids, completion) else output_ids
        )
        self._ids_length += len(new_ids)
        return new_ids


def _is_cumulative(output_ids: tuple[int, ...] | None, completion: int | None) -> bool:
    """Ids of the whole answer come with cumulative text; without ids, cumulative is the default."""
    return output_ids is None or completion is None or len(output_ids) >= completion


def _finish(meta: dict[str, Any]) -> bool:
    reason = meta.get("finish_reason")
    if reason is None:
        return False
    kind = reason.get("type") if isinstance(reason, dict) else reason
    if kind == "abort":
        raise EngineReportedError("the engine aborted the generation itself")
    return True


def read_openai_extras(
    payload: dict[str, Any], usage: dict[str, Any] | None
) -> tuple[int | None, FinalCounters | None]:
    """``sglext.spec_tokens_details`` of an OpenAI chunk: tokens so far and the counters."""
    details = _spec_details(payload)
    told = read_int(details, "completion_tokens") if details is not None else None
    completion = completion_of(usage) if told is None else told
    return completion, None if details is None else read_counters(details, completion)


def _spec_details(payload: dict[str, Any]) -> dict[str, Any] | None:
    extension = payload.get("sglext")
    details = extension.get("spec_tokens_details") if isinstance(extension, dict) else None
    return details if isinstance(details, dict) else None
