"""What the readers of typed events share: both APIs name each event, neither counts its tokens."""

from dataclasses import dataclass
from typing import Any

from detectors.observation import Observation
from retry_proxy.engines.acceptance_track import AcceptanceTrack
from retry_proxy.engines.adapter import EngineProfile, FinalCounters, Piece
from retry_proxy.engines.openai_chunk import check_error
from retry_proxy.engines.openai_reader import ExtrasReader
from retry_proxy.engines.token_count import TokenCount
from retry_proxy.errors import MalformedStream


@dataclass(slots=True)
class Output:
    """What one event adds to the answer.

    Attributes:
        text: answer text.
        hidden: text that a model wrote and that is no answer text: reasoning, arguments of a tool.
        has_output: the client would see something of the event.
        is_continuable: a continuation could restore it.
    """

    text: str = ""
    hidden: str = ""
    has_output: bool = False
    is_continuable: bool = True


class EventTrack:
    """Counts and observes the events of one attempt.

    No stock engine tells acceptance on these routes (SGLang 0.5.23, vLLM 0.32, llama.cpp b11434);
    where an event carries an engine's counters all the same, they are taken.
    """

    def __init__(self, profile: EngineProfile, read_extras: ExtrasReader) -> None:
        self._track = AcceptanceTrack(profile)
        self._count = TokenCount()
        self._read_extras = read_extras

    @property
    def final(self) -> FinalCounters | None:
        """As :class:`~retry_proxy.engines.adapter.ChunkReader` has it."""
        return self._track.final

    def piece(
        self, payload: dict[str, Any], raw: bytes, output: Output, *, is_finish: bool = False
    ) -> Piece:
        """The piece of one event."""
        generated = output.hidden + output.text
        told, counters = self._read_extras(payload, None)
        new_tokens, tokens = self._count.observe(generated, told, None)
        return Piece(
            payload=payload,
            raw=raw,
            observation=self._observe(generated, new_tokens, counters, is_finish),
            text=output.text,
            tokens=tokens,
            is_estimated=self._count.is_estimated,
            has_output=output.has_output or bool(generated),
            is_continuable=output.is_continuable,
            is_finish=is_finish,
        )

    def _observe(
        self,
        text: str,
        new_tokens: int | None,
        counters: FinalCounters | None,
        is_finish: bool,
    ) -> Observation:
        return self._track.observe(
            text=text,
            new_tokens=new_tokens,
            token_ids=None,
            counters=counters,
            is_finish=is_finish,
        )


class EventReader:
    """What the readers of both APIs begin with."""

    def __init__(self, profile: EngineProfile, read_extras: ExtrasReader) -> None:
        self._track = EventTrack(profile, read_extras)

    @property
    def final(self) -> FinalCounters | None:
        """As :class:`~retry_proxy.engines.adapter.ChunkReader` has it."""
        return self._track.final

    def read_plain(self, text: str) -> Observation | None:
        """No event says a text and nothing else: what it means depends on the others."""
        return None


def event_type(payload: Any) -> str:
    """The event's name.

    Raises:
        MalformedStream: it has none.
        EngineReportedError: it tells an error.
    """
    check_error(payload)
    kind = payload.get("type")
    if not isinstance(kind, str):
        raise MalformedStream("an event has no type")
    return kind


def member(payload: dict[str, Any], name: str) -> dict[str, Any]:
    """A part of an event that must be an object.

    Raises:
        MalformedStream: it is not.
    """
    value = payload.get(name)
    if not isinstance(value, dict):
        raise MalformedStream(f"an event has no {name}")
    return value


def text_of(holder: dict[str, Any], name: str) -> str:
    """A text, ``""`` if absent or null.

    Raises:
        MalformedStream: it is something else.
    """
    value = holder.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedStream(f"{name} is not text")
    return value
