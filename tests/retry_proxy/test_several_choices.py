"""Several answers in one stream (n > 1, a batch of prompts): each is watched, none is continued."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from detectors.panel import Panel
from detectors.panels import DefaultPanel
from detectors.verdict import AnomalyKind
from retry_proxy.config import PanelName, ReleaseMode
from retry_proxy.engines.adapter import EngineProfile
from retry_proxy.engines.call import Route
from retry_proxy.engines.detect import build_adapter
from retry_proxy.stream.choice_panels import ChoicePanels
from retry_proxy.stream.encoders import build_encoder
from retry_proxy.stream.sse import DONE
from tests.fakes.asgi_client import post
from tests.fakes.calls import call_for
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import proxy_for
from tests.fakes.raw_server import NOT_FOUND, raw_server

PROSE = """The river rises in the hills behind the town, and for most of the year it is no wider
than a cart track. In spring, when the snow melts, it takes the lower meadows and leaves them
greener than before. People who farm there keep their boats tied up and say little."""
WORDS = PROSE.split()


def chunk(route: Route, index: int, text: str, finish: str | None = None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": index, "finish_reason": finish}
    choice |= {"text": text} if route is Route.COMPLETIONS else {"delta": {"content": text}}
    return {"id": "a", "created": 1, "model": "m", "choices": [choice]}


def test_healthy_answers_in_turn_are_no_loop_and_a_looping_one_is_found() -> None:
    panels = ChoicePanels(DefaultPanel)
    reader = build_adapter(EngineProfile("openai")).reader(call_for(Route.CHAT, n=3))
    found = None
    for number in range(300):
        for index in range(3):
            word = " again" if index == 2 else f" {WORDS[number % len(WORDS)]}"
            if index < 2 and number >= len(WORDS):
                continue
            piece = reader.read(chunk(Route.CHAT, index, word), b"")
            assert piece.observation.text == ""
            found = panels.update(piece)
            assert found is None or index == 2
            if found is not None:
                assert found.kind is AnomalyKind.REPETITION
                assert panels.is_watching
                return
    raise AssertionError("the loop was not found")


def test_each_answer_has_a_panel_of_its_own() -> None:
    built: list[Panel] = []

    def build() -> Panel:
        built.append(Panel([]))
        return built[-1]

    panels = ChoicePanels(build)
    reader = build_adapter(EngineProfile("vllm")).reader(call_for(Route.COMPLETIONS, n=2))
    for index in (0, 1, 0, 1):
        payload = chunk(Route.COMPLETIONS, index, " word")
        payload["choices"][0]["token_ids"] = [7]
        panels.update(reader.read(payload, b""))
    assert [panel.tokens for panel in built] == [0, 2, 2]


@pytest.mark.parametrize(
    ("route", "body", "choices"),
    [
        (Route.CHAT, {"n": 3}, 3),
        (Route.COMPLETIONS, {"prompt": ["a", "b"]}, 2),
        (Route.COMPLETIONS, {"prompt": [[1, 2], [3]], "n": 2}, 4),
        (Route.COMPLETIONS, {"prompt": [1, 2]}, 1),
    ],
)
def test_they_are_watched_and_put_together(
    route: Route, body: dict[str, Any], choices: int
) -> None:
    call = call_for(route, stream=False, **body)
    assert (call.is_watched, call.choices, call.is_continuable) == (True, choices, choices == 1)
    reader = build_adapter(EngineProfile("vllm")).reader(call)
    encoder = build_encoder(call)
    encoder.start_attempt(None)
    payloads = [chunk(route, index, f"{index}", "stop") for index in range(choices)]
    usage = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}
    payloads.append({"id": "a", "choices": [], "usage": usage})
    pieces = [reader.read(payload, msgspec.json.encode(payload)) for payload in payloads]
    assert [piece.is_finish for piece in pieces] == [False] * (choices - 1) + [True, False]
    encoder.encode(pieces)
    whole: Any = encoder.whole()
    texts = [each.get("text") or each["message"]["content"] for each in whole["choices"]]
    assert texts == [str(index) for index in range(choices)]
    assert whole["usage"] == usage


def stream_of(texts: list[list[str]]) -> bytes:
    """The HTTP answer of an engine that writes several answers in turn."""
    body = b""
    for step in range(max(map(len, texts))):
        for index, words in enumerate(texts):
            if step < len(words):
                finish = "stop" if step == len(words) - 1 else None
                payload = chunk(Route.CHAT, index, words[step], finish)
                body += b"data: " + msgspec.json.encode(payload) + b"\n\n"
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + body + DONE


@pytest.mark.parametrize("stream", [True, False])
async def test_one_sick_answer_has_the_whole_request_done_again(stream: bool) -> None:
    prose = [f" {word}" for word in WORDS]
    sick, fine = stream_of([prose, [" again"] * 400]), stream_of([prose, prose])

    def answers(data: bytes) -> Callable[[str], bytes]:
        return lambda line: NOT_FOUND if line.startswith("GET") else data

    async with (
        raw_server(answers(sick)) as one,
        raw_server(answers(fine)) as two,
        FakeEngine() as first,
        FakeEngine() as second,
    ):
        first.address, second.address = one.address, two.address
        options = {"panel": PanelName.DEFAULT, "release": ReleaseMode.BUFFER}
        async with proxy_for(first, second, **options) as proxy:
            body = {"model": "m", "messages": [], "n": 2, "stream": stream}
            got = await post(proxy.app, Route.CHAT, body)
    verdicts = [attempt.verdict for attempt in proxy.sink.attempts]
    assert [found and found.kind for found in verdicts] == [AnomalyKind.REPETITION, None]
    assert b" again" not in got.body
    assert (got.status, got.headers["x-specwatch-attempts"]) == (200, "2")
    if stream:
        assert got.is_done
    else:
        texts = [choice["message"]["content"] for choice in got.json()["choices"]]
        assert texts == ["".join(prose)] * 2
