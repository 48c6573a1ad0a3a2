"""Reads the chunks of the OpenAI routes for any engine.

What an engine adds is a function it brings.
"""

from collections.abc import Callable
from typing import Any

from detectors.observation import Observation
from retry_proxy.engines.acceptance_track import AcceptanceTrack
from retry_proxy.engines.adapter import EngineProfile, FinalCounters, Piece
from retry_proxy.engines.call import GenerationCall
from retry_proxy.engines.openai_chunk import (
    OpenAiChunk,
    parse_chunk,
    read_choice,
    read_ids,
    read_int,
)
from retry_proxy.engines.token_count import TokenCount

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
        self._count = TokenCount()
        self._finished = 0

    @property
    def final(self) -> FinalCounters | None:
        return self._track.final

    def read(self, payload: Any, raw: bytes) -> Piece:
        chunk = parse_chunk(self._call, payload)
        completion, counters = self._read_extras(payload, chunk.usage)
        choice = chunk.choice or {}
        token_ids = read_ids(choice, "token_ids")
        self._finished += chunk.finished
        is_over = self._finished >= self._call.choices
        is_single = self._call.choices == 1
        generated = chunk.generated
        new_tokens, tokens = self._count.observe(generated, completion, token_ids)
        if is_single:
            seen = self._track.observe(
                text=generated,
                new_tokens=new_tokens,
                token_ids=token_ids,
                counters=counters,
                is_finish=is_over,
            )
        else:
            seen = Observation()
        return Piece(
            payload=payload,
            raw=raw,
            observation=seen,
            choices=() if is_single else self._each_choice(payload["choices"]),
            text=chunk.text,
            tokens=tokens,
            is_estimated=self._count.is_estimated,
            token_ids=token_ids,
            prompt_token_ids=_prompt_ids(payload, choice),
            has_output=bool(generated) or chunk.has_tool_call,
            is_continuable=not (chunk.reasoning or chunk.has_tool_call),
            is_finish=chunk.finished > 0 and is_over,
            prompt_tokens=_prompt_tokens(chunk),
            completion_tokens=completion,
        )

    def read_plain(self, text: str) -> Observation | None:
        if self._call.choices != 1:
            return None
        tokens = self._count.estimate(text)
        return None if tokens is None else Observation(text, estimated_tokens=tokens)

    def _each_choice(self, choices: list[dict[str, Any]]) -> tuple[tuple[int, Observation], ...]:
        """Several answers in one stream: each is watched by itself, without acceptance.

        The engine's counts are those of all of them, or of one without saying of which.
        """
        seen = []
        for choice in choices:
            part = OpenAiChunk(None)
            read_choice(self._call, choice, part)
            ids = read_ids(choice, "token_ids")
            count = None if ids is None else len(ids)
            index = choice.get("index", 0)
            seen.append((index, Observation(part.generated, new_tokens=count, token_ids=ids)))
        return tuple(seen)


def completion_of(usage: dict[str, Any] | None) -> int | None:
    """Tokens so far by a chunk's usage object."""
    return None if usage is None else read_int(usage, "completion_tokens")


def _prompt_ids(payload: dict[str, Any], choice: dict[str, Any]) -> tuple[int, ...] | None:
    return read_ids(payload, "prompt_token_ids") or read_ids(choice, "prompt_token_ids")


def _prompt_tokens(chunk: OpenAiChunk) -> int | None:
    return None if chunk.usage is None else read_int(chunk.usage, "prompt_tokens")
