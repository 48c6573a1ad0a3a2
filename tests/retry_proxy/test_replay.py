"""Streams on disk, replayed in every chunking: what is observed does not depend on the cuts."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.observation import Observation
from retry_proxy.engines.adapter import EngineProfile, Piece
from retry_proxy.engines.call import GenerationCall, Route
from retry_proxy.engines.detect import build_adapter
from retry_proxy.stream.encoders import build_encoder
from retry_proxy.stream.sse import SseParser
from tests.fakes.calls import call_for

DATA = Path(__file__).parent.parent / "data" / "engines"
PROFILES = {
    name: EngineProfile(name, is_speculating=True, draft_tokens=4)
    for name in ("sglang", "vllm", "llamacpp", "openai")
}
STREAMS = [
    ("sglang-0.5.23-generate.sse", "sglang", Route.GENERATE),
    ("sglang-0.5.23-chat-continue.sse", "sglang", Route.CHAT),
    ("sglang-0.5.23-completions.sse", "sglang", Route.COMPLETIONS),
    ("vllm-0.32.0-draft-chat-ids.sse", "vllm", Route.CHAT),
    ("vllm-0.32.0-draft-completions-ids.sse", "vllm", Route.COMPLETIONS),
    ("llamacpp-b11434-draft-chat.sse", "llamacpp", Route.CHAT),
    ("llamacpp-b11434-draft-completions.sse", "llamacpp", Route.COMPLETIONS),
    ("handmade-chat-tools.sse", "openai", Route.CHAT),
    *(("handmade-messages.sse", name, Route.MESSAGES) for name in PROFILES),
    *(("handmade-responses.sse", name, Route.RESPONSES) for name in PROFILES),
]


def read(parts: Iterable[bytes], engine: str, call: GenerationCall) -> Iterator[Piece]:
    parser, reader = SseParser(1_000_000), build_adapter(PROFILES[engine]).reader(call)
    for part in parts:
        for event in parser.feed(part):
            assert event.data is not None
            if event.data != b"[DONE]":
                yield reader.read(msgspec.json.decode(event.data), event.raw)
    assert not parser.has_rest


def observed(parts: Iterable[bytes], engine: str, route: Route) -> list[Observation]:
    return [piece.observation for piece in read(parts, engine, call_for(route))]


def pieces_of(name: str, engine: str, route: Route, **body: Any) -> list[Piece]:
    return list(read([(DATA / name).read_bytes()], engine, call_for(route, **body)))


@pytest.mark.parametrize(("name", "engine", "route"), STREAMS)
def test_byte_by_byte_and_cut_in_two_anywhere(name: str, engine: str, route: Route) -> None:
    data = (DATA / name).read_bytes()
    whole = observed([data], engine, route)
    assert observed([data[i : i + 1] for i in range(len(data))], engine, route) == whole
    for cut in range(1, len(data), 1 if len(data) < 4000 else 17):
        assert observed([data[:cut], data[cut:]], engine, route) == whole


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(STREAMS), st.lists(st.integers(0, 12_000), max_size=60))
def test_cut_in_many_places(stream: tuple[str, str, Route], cuts: list[int]) -> None:
    name, engine, route = stream
    data = (DATA / name).read_bytes()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    parts = [data[start:end] for start, end in pairwise(edges)]
    assert observed(parts, engine, route) == observed([data], engine, route)


@pytest.mark.parametrize(("name", "engine", "route"), STREAMS)
def test_a_healthy_stream_goes_on_as_it_came(name: str, engine: str, route: Route) -> None:
    """For a client that asked for all that the proxy asks for, byte by byte where one may be."""
    more = {"return_token_ids": True, "return_spec_tokens_details": True}
    call = call_for(route, stream_options={"include_usage": True}, **more)
    data = (DATA / name).read_bytes()
    encoder = build_encoder(call)
    encoder.start_attempt(None)
    written = b"".join(encoder.encode([piece]) for piece in read([data], engine, call))
    written += encoder.close() + encoder.end_mark()
    if route in (Route.MESSAGES, Route.RESPONSES, Route.GENERATE):
        assert _events(written) == _events(data)
    else:
        texts = [piece.text for piece in read([written], engine, call)]
        assert "".join(texts) == "".join(piece.text for piece in read([data], engine, call))


def test_reasoning_and_arguments_are_seen_and_cannot_be_continued() -> None:
    """A model that loops in its thoughts or in a tool's input was not noticed."""
    pieces = pieces_of("handmade-chat-tools.sse", "openai", Route.CHAT)
    seen = "".join(piece.observation.text for piece in pieces)
    assert seen == 'We need Zürich.One moment.{"city": "Zürich"}'
    assert "".join(piece.text for piece in pieces) == "One moment."
    assert sum(piece.tokens for piece in pieces) == 20, "the engine's total corrects the estimate"
    continuable = [piece.text for piece in pieces if piece.has_output and piece.is_continuable]
    assert continuable == ["One moment."]


def test_the_parts_of_a_message() -> None:
    pieces = pieces_of("handmade-messages.sse", "vllm", Route.MESSAGES)
    assert "".join(piece.text for piece in pieces) == (
        "I will look at the weather in Zürich 🌦 for you."
    )
    seen = "".join(piece.observation.text for piece in pieces)
    assert seen.startswith("The user wants the weather in Zürich: call the tool.I will")
    assert seen.endswith('{"location": "Zürich, CH", "unit": "celsius"}')
    assert [index for index, piece in enumerate(pieces) if piece.is_last] == [len(pieces) - 1]
    assert [piece.is_finish for piece in pieces[-2:]] == [True, False]
    assert pieces[0].prompt_tokens == 25


def test_the_parts_of_a_response() -> None:
    pieces = pieces_of("handmade-responses.sse", "vllm", Route.RESPONSES)
    assert "".join(piece.text for piece in pieces) == "Looking up Zürich 🌦 now."
    seen = "".join(piece.observation.text for piece in pieces)
    assert seen == 'First look at the weather.Looking up Zürich 🌦 now.{"location": "Zürich"}'
    assert not any(piece.is_continuable for piece in pieces if piece.has_output)
    assert (pieces[-1].is_finish, pieces[-1].is_last) == (True, True)


def test_a_whole_message_has_all_its_blocks() -> None:
    pieces = pieces_of("handmade-messages.sse", "openai", Route.MESSAGES)
    encoder = build_encoder(call_for(Route.MESSAGES, stream=False))
    encoder.start_attempt(None)
    encoder.encode(pieces)
    message: Any = encoder.whole()
    thinking, text, tool = message["content"]
    assert thinking["signature"] == "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"
    assert thinking["thinking"].endswith("call the tool.")
    assert text == {"type": "text", "text": "I will look at the weather in Zürich 🌦 for you."}
    assert tool["input"] == {"location": "Zürich, CH", "unit": "celsius"}
    assert (message["stop_reason"], message["stop_sequence"]) == ("tool_use", None)
    usage = {"input_tokens": 25, "output_tokens": 89, "cache_read_input_tokens": 0}
    assert message["usage"] == usage


def _events(data: bytes) -> list[Any]:
    parsed = SseParser(1_000_000).feed(data)
    marks = (b"[DONE]", None)
    return [msgspec.json.decode(e.data) for e in parsed if e.data not in marks and e.data]
