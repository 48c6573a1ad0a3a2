"""Reads the chunks of the OpenAI routes for any engine.

What an engine adds is a function it brings.
"""

from collections.abc import Callable
from typing import Any

from retry_proxy.engines.acceptance_track import AcceptanceTrack
from retry_proxy.engines.adapter import Cumulative, EngineProfile, FinalCounters, Piece
from retry_proxy.engines.call import GenerationCall
from retry_proxy.engines.openai_chunk import OpenAiChunk, parse_chunk, read_ids, read_int

# (payload, usage) -> tokens so far and cumulative counters, each None where the chunk does not say
ExtrasReader = Callable[
    [dict[str, Any], dict[str, Any] | None], tuple[int | None, FinalCounters | None]
]


class OpenAiReader:
    """``/v1/chat/completions`` and ``/v1/completions``."""

    def __init__(
        self, profile: EngineProfile, call: GenerationCall, read_extras: ExtrasReader
    ) -> None:
        self._track = AcceptanceTrack(profile)
        self._call = call
        self._read_extras = read_extras
        self._completion = Cumulative()
        self._finished = 0

    @property
    def final(self) -> FinalCounters | None:
        return self._track.final

    def read(self, payload: Any, raw: bytes) -> Piece:
        chunk = parse_chunk(self._call, payload)
        completion, counters = self._read_extras(payload, chunk.usage)
        choice = chunk.choice or {}
        token_ids = read_ids(choice, "token_ids")
        new_tokens = self._new_tokens(completion, token_ids)
        self._finished += chunk.finished
        is_over = self._finished >= self._call.choices
        is_single = self._call.choices == 1
        seen = self._track.observe(
            text=chunk.text + chunk.reasoning if is_single else "",
            new_tokens=new_tokens if is_single else None,
            token_ids=token_ids if is_single else None,
            counters=counters if is_single else None,
            is_finish=is_over,
        )
        has_output = bool(chunk.text or chunk.reasoning or chunk.has_tool_call)
        return Piece(
            payload=payload,
            raw=raw,
            observation=seen,
            text=chunk.text,
            tokens=count_tokens(new_tokens, has_output),
            token_ids=token_ids,
            prompt_token_ids=_prompt_ids(payload, choice),
            has_output=has_output,
            is_continuable=not (chunk.reasoning or chunk.has_tool_call),
            is_finish=chunk.finished > 0 and is_over,
            prompt_tokens=_prompt_tokens(chunk),
            completion_tokens=completion,
        )

    def _new_tokens(self, completion: int | None, token_ids: tuple[int, ...] | None) -> int | None:
        if completion is not None:
            return self._completion.new(completion)
        if token_ids is not None:
            self._completion.last += len(token_ids)
            return len(token_ids)
        return None


def completion_of(usage: dict[str, Any] | None) -> int | None:
    """Tokens so far by a chunk's usage object."""
    return None if usage is None else read_int(usage, "completion_tokens")


def count_tokens(new_tokens: int | None, output: object) -> int:
    """Tokens for the books: an engine that does not count is taken to send one token per chunk."""
    if new_tokens is not None:
        return new_tokens
    return 1 if output else 0


def _prompt_ids(payload: dict[str, Any], choice: dict[str, Any]) -> tuple[int, ...] | None:
    return read_ids(payload, "prompt_token_ids") or read_ids(choice, "prompt_token_ids")


def _prompt_tokens(chunk: OpenAiChunk) -> int | None:
    return None if chunk.usage is None else read_int(chunk.usage, "prompt_tokens")
