"""The short way for plain events, and when it is closed."""

import json
from functools import partial
from typing import Any

from starlette.types import Message

from detectors.draft_health import DraftState
from retry_proxy.app import build_services
from retry_proxy.config import ProxyConfig, ReleaseMode
from retry_proxy.decide.retry import Action, Decision
from retry_proxy.engines.adapter import EngineProfile
from retry_proxy.engines.call import Route, parse_call
from retry_proxy.engines.detect import build_adapter
from retry_proxy.fleet import Fleet
from retry_proxy.stream.answer import Answer
from retry_proxy.stream.attempt import Attempt
from retry_proxy.stream.choice_panels import ChoicePanels
from retry_proxy.stream.client import ClientStream
from tests.fakes.sink import RecordingSink

PROSE = (
    "The harbour was quiet when the first boats came back in the morning. A woman in a yellow coat "
    "counted the boxes on the quay and wrote the numbers into a small book. She had done this work "
    "for twenty years, and she still liked the smell of rope and wet wood. When the last box was "
    "on the cart, she closed the book, thanked the men, and walked up the hill to the market."
)


class Client:
    """What reached it."""

    def __init__(self) -> None:
        self.received = b""

    async def send(self, message: Message) -> None:
        self.received += message.get("body", b"")


def event(text: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: " + json.dumps({"id": "a", "choices": [choice]}).encode() + b"\n\n"


def attempt_for(client: Client, **options: Any) -> tuple[Attempt, Answer]:
    config = ProxyConfig(replicas=("http://127.0.0.1:1",), **options)
    services = build_services(config, RecordingSink(), Fleet(config, RecordingSink()))
    call = parse_call(Route.CHAT, b'{"stream": true, "messages": []}')
    adapter = build_adapter(EngineProfile(name="openai"))
    answer = Answer(call, ClientStream(client.send, "r"))
    answer.start_attempt(None, 1)
    build = partial(services.build_panel, adapter.profile, call, DraftState.UNKNOWN)
    attempt = Attempt(
        config=config,
        policy=services.policy,
        answer=answer,
        panel=ChoicePanels(build),
        reader=adapter.reader(call, None),
        decide=lambda _: Decision(Action.LET_THROUGH),
    )
    return attempt, answer


async def test_plain_events_go_on_at_once_and_are_counted_together() -> None:
    client = Client()
    attempt, answer = attempt_for(client)
    words = [" the", " harbour", " was", " quiet", " when", " the", " boats", " came"]
    for word in words:
        attempt._take_bytes(event(word))
        await answer.flush()
        assert client.received.endswith(event(word))
    assert attempt._lane.is_open
    assert 0 < attempt.totals.tokens < len(words)
    attempt._book_passed()
    assert attempt.totals.tokens == len(words)
    assert answer.hold.prefix().text == "".join(words)


async def test_where_everything_is_held_the_lane_stays_closed() -> None:
    """An event over the bound goes out by itself: the next one is held all the same."""
    client = Client()
    attempt, answer = attempt_for(client, release=ReleaseMode.BUFFER, max_held_bytes=400)
    attempt._take_bytes(event(PROSE))
    await answer.flush()
    before = client.received
    assert before
    attempt._take_bytes(event(" more"))
    await answer.flush()
    assert client.received == before
    assert answer.hold.held
