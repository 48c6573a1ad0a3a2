"""Numbers that the data plane counts for the monitor: of the hold-back and of the budget."""

import json
from typing import Any

import pytest

from retry_proxy.config import ReleaseMode
from retry_proxy.decide.budget import RetryBudget
from retry_proxy.engines.call import MAX_WATCHED_CHOICES, Route, parse_call
from retry_proxy.events import RequestUnwatched
from tests.fakes.asgi_client import post
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import proxy_for, request_body


def test_what_the_budget_would_allow() -> None:
    """The floor of a second and what requests earned; spent ones are gone."""
    budget = RetryBudget(ratio=0.2, min_per_second=2.0)
    assert budget.left(0.0) == 2.0
    for _ in range(10):
        budget.note_request(0.0)
    assert budget.left(0.0) == pytest.approx(4.0)
    budget.spend(0.0)
    assert budget.left(0.0) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("route", "body", "reason"),
    [
        (Route.GENERATE, {"text": ["a", "b"]}, "batch"),
        (Route.GENERATE, {"text": "a", "return_hidden_states": True}, "not_streamable"),
        (Route.COMPLETIONS, {"prompt": "a", "n": MAX_WATCHED_CHOICES + 1}, "too_many_choices"),
        (Route.RESPONSES, {"input": "a", "background": True}, "state_of_one_replica"),
        (Route.COMPLETIONS, {"prompt": "a"}, None),
    ],
)
def test_why_a_request_is_not_watched(
    route: Route, body: dict[str, Any], reason: str | None
) -> None:
    call = parse_call(route, json.dumps(body).encode())
    assert call.unwatched_reason == reason
    assert call.is_watched == (reason is None)


async def test_an_unwatched_request_is_told() -> None:
    async with FakeEngine(60) as engine, proxy_for(engine) as proxy:
        await post(proxy.app, "/generate", {"text": ["a", "b"], "rid": ["x", "y"]})
    (told,) = [one for one in proxy.sink.events if isinstance(one, RequestUnwatched)]
    assert (told.route, told.reason) == ("/generate", "batch")


async def test_how_much_was_held_at_most() -> None:
    """A held-back stream tells its tokens and bytes; one that goes on at once holds one event."""
    route = "/v1/chat/completions"
    async with FakeEngine(60) as engine, proxy_for(engine, release=ReleaseMode.BUFFER) as proxy:
        await post(proxy.app, route, request_body(route))
    (held,) = proxy.sink.attempts
    assert held.most_held_tokens == 60
    assert held.most_held_bytes > 60
    async with FakeEngine(60) as engine, proxy_for(engine, release=ReleaseMode.LIVE) as proxy:
        await post(proxy.app, route, request_body(route))
        await post(proxy.app, route, request_body(route, stream=False))
    live, whole = proxy.sink.attempts
    assert live.most_held_tokens < 10
    assert whole.most_held_tokens == 0  # an answer that is not streamed is no hold-back
