"""Reads the shape that all OpenAI-compatible engines share. Knows no engine's extras."""

from dataclasses import dataclass
from typing import Any

from retry_proxy.engines.call import GenerationCall, Route
from retry_proxy.errors import EngineReportedError, MalformedStream


@dataclass(slots=True)
class OpenAiChunk:
    """The standard part of one chunk.

    Attributes:
        text: answer text of the first choice.
        reasoning: its reasoning text.
        arguments: text of the arguments of its tool calls.
        has_tool_call: it carries a piece of a tool call.
        finished: choices that got their finish reason in this chunk.
        choice: the first choice, ``None`` on chunks without.
        usage: the usage object, ``None`` if absent or null.
    """

    usage: dict[str, Any] | None
    text: str = ""
    reasoning: str = ""
    arguments: str = ""
    has_tool_call: bool = False
    finished: int = 0
    choice: dict[str, Any] | None = None

    @property
    def generated(self) -> str:
        """All of its text that a model wrote, whatever the parser made of it."""
        return self.reasoning + self.text + self.arguments


def parse_chunk(call: GenerationCall, payload: Any) -> OpenAiChunk:
    """Reads one chunk.

    Raises:
        MalformedStream: not the agreed shape.
        EngineReportedError: the chunk tells an error or an abort that the client did not ask for.
    """
    check_error(payload)
    choices = payload.get("choices")
    if not isinstance(choices, list):
        raise MalformedStream("a chunk has no list of choices")
    chunk = OpenAiChunk(_usage(payload))
    for choice in choices:
        read_choice(call, choice, chunk)
    return chunk


def check_error(payload: Any) -> None:
    """Raises if the event is no object or tells an error."""
    if not isinstance(payload, dict):
        raise MalformedStream("an event is not a JSON object")
    error = payload.get("error")
    if error is not None:
        code = error.get("code") if isinstance(error, dict) else None
        raise EngineReportedError(f"the engine reported an error in its stream (code {code})")


def read_int(holder: dict[str, Any], name: str) -> int | None:
    """A counter, ``None`` if absent or null.

    Raises:
        MalformedStream: it is something else than a number.
    """
    value = holder.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MalformedStream(f"{name} is not a number")
    return int(value)


def read_ids(holder: dict[str, Any], name: str) -> tuple[int, ...] | None:
    """A list of token ids, ``None`` if absent or null."""
    value = holder.get(name)
    if value is None:
        return None
    if not isinstance(value, list):
        raise MalformedStream(f"{name} is not a list")
    return tuple(value)


def _usage(payload: dict[str, Any]) -> dict[str, Any] | None:
    usage = payload.get("usage")
    return usage if isinstance(usage, dict) else None


def read_choice(call: GenerationCall, choice: object, chunk: OpenAiChunk) -> None:
    """Adds one choice to what is known of its chunk.

    Raises:
        MalformedStream, EngineReportedError: as :func:`parse_chunk`.
    """
    if not isinstance(choice, dict):
        raise MalformedStream("a choice is not an object")
    _check_index(choice)
    if chunk.choice is None:
        chunk.choice = choice
    if call.route is Route.COMPLETIONS:
        chunk.text += _text(choice, "text")
    else:
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            raise MalformedStream("a choice has no delta")
        chunk.text += _text(delta, "content")
        chunk.reasoning += _text(delta, "reasoning_content") or _text(delta, "reasoning")
        if delta.get("tool_calls") or delta.get("function_call"):
            chunk.has_tool_call = True
            chunk.arguments += _arguments(delta)
    reason = choice.get("finish_reason")
    if reason is None:
        return
    if reason in ("abort", "error"):
        raise EngineReportedError(f"the engine ended the generation itself ({reason})")
    chunk.finished += 1


def _arguments(delta: dict[str, Any]) -> str:
    """What the chunk adds to the arguments of its calls."""
    calls = delta.get("tool_calls")
    if not isinstance(calls, list | None):
        raise MalformedStream("tool_calls is not a list")
    text = ""
    for call in calls or ():
        if not isinstance(call, dict):
            raise MalformedStream("a tool call is not an object")
        _check_index(call)
        text += _arguments_of(call.get("function"))
    return text + _arguments_of(delta.get("function_call"))


def _arguments_of(function: object) -> str:
    if function is None:
        return ""
    if not isinstance(function, dict):
        raise MalformedStream("a tool call's function is not an object")
    return _text(function, "arguments")


def _check_index(holder: dict[str, Any]) -> None:
    if not isinstance(holder.get("index", 0), int):
        raise MalformedStream("an index is not a number")


def _text(holder: dict[str, Any], name: str) -> str:
    value = holder.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedStream(f"{name} is not text")
    return value
