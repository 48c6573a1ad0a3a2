"""Whatever an engine sends, a reader names it malformed or an encoder can write it."""

import copy
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.panels import published_panel
from retry_proxy.engines.adapter import EngineProfile, Prefix
from retry_proxy.engines.call import Route
from retry_proxy.engines.detect import build_adapter
from retry_proxy.errors import EngineReportedError, MalformedStream
from retry_proxy.stream.choice_panels import ChoicePanels
from retry_proxy.stream.encoders import build_encoder
from retry_proxy.stream.sse import SseParser, named_event
from tests.fakes.calls import call_for

DATA = Path(__file__).parent.parent / "data" / "engines"
FILES: dict[Route, tuple[str, dict[str, Any]]] = {
    Route.MESSAGES: ("handmade-messages.sse", {}),
    Route.RESPONSES: ("handmade-responses.sse", {}),
    Route.CHAT: ("handmade-chat-tools.sse", {}),
    Route.COMPLETIONS: ("llamacpp-b11434-draft-completions.sse", {}),
    Route.GENERATE: ("sglang-0.5.23-generate.sse", {}),
}
ENGINES = {Route.GENERATE: ("sglang",)}
ALL_ENGINES = ("sglang", "vllm", "llamacpp", "openai")
odd_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.text(max_size=3),
    st.lists(st.integers(0, 2), max_size=2),
    st.dictionaries(st.sampled_from(["type", "text", "index"]), st.integers(0, 1), max_size=2),
)


def events_of(route: Route) -> list[dict[str, Any]]:
    parsed = SseParser(1_000_000).feed((DATA / FILES[route][0]).read_bytes())
    return [msgspec.json.decode(e.data) for e in parsed if e.data and e.data != b"[DONE]"]


EVENTS = {route: events_of(route) for route in FILES}


def change(draw: st.DrawFn, event: dict[str, Any]) -> None:
    """Replaces or removes one value, at any depth."""
    holder: Any = event
    while True:
        keys: list[Any] = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if isinstance(holder[key], dict | list) and holder[key] and draw(st.booleans()):
            holder = holder[key]
            continue
        if isinstance(holder, dict) and draw(st.booleans()):
            del holder[key]
        else:
            holder[key] = draw(odd_values)
        return


@st.composite
def damaged_streams(draw: st.DrawFn) -> tuple[Route, str, bool, list[dict[str, Any]]]:
    route = draw(st.sampled_from(list(FILES)))
    engine = draw(st.sampled_from(ENGINES.get(route, ALL_ENGINES)))
    events = copy.deepcopy(EVENTS[route])
    for _ in range(draw(st.integers(1, 4))):
        change(draw, draw(st.sampled_from(events)))
    if draw(st.booleans()):
        events.pop(draw(st.integers(0, len(events) - 1)))
    return route, engine, draw(st.booleans()), events


@settings(max_examples=400, deadline=None)
@given(damaged_streams(), st.booleans(), st.sampled_from([1, 2]))
def test_a_damaged_event_is_malformed_or_can_be_written(
    stream: tuple[Route, str, bool, list[dict[str, Any]]], is_continued: bool, choices: int
) -> None:
    route, engine, is_streaming, events = stream
    more: dict[str, Any] = {"n": choices} if route in (Route.CHAT, Route.COMPLETIONS) else {}
    call = call_for(route, stream=is_streaming, **more)
    prefix = Prefix("The river rises in", 4)
    if not is_streaming or not is_continued or route is Route.RESPONSES:
        prefix_or_none = None
    else:
        prefix_or_none = prefix
    reader = build_adapter(EngineProfile(engine)).reader(call, prefix_or_none)
    encoder, panels = build_encoder(call), ChoicePanels(published_panel)
    encoder.start_attempt(prefix_or_none)
    pieces = []
    for event in events:
        try:
            piece = reader.read(event, named_event("x", msgspec.json.encode(event)))
        except (MalformedStream, EngineReportedError):
            return
        panels.update(piece)
        pieces.append(piece)
        encoder.encode([piece])
    encoder.close()
    encoder.end_mark()
    # a detector may give up on such counts: it is retired and counted, the stream goes on
    if not is_streaming and pieces:
        msgspec.json.encode(encoder.whole())
