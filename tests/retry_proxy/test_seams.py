"""Where one attempt's text ends and the next one's begins, for every way an attempt can end."""

from typing import Any

import pytest

from retry_proxy.config import ReleaseMode
from retry_proxy.events import RequestOutcome
from tests.fakes.asgi_client import Exchange, post, post_paused
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import CHAT, ROUTES, Proxy, proxy_for, request_body, words
from tests.fakes.script import Fault, Script

STALL = {"stall_timeout_seconds": 0.1, "first_byte_timeout_seconds": 0.3}
BREAKING = [
    Fault.CUT,
    Fault.STALL,
    Fault.BAD_JSON,
    Fault.BAD_SSE,
    Fault.ERROR_EVENT,
    Fault.ENGINE_ABORT,
]
NOT_CONTINUED: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {"response_format": {"type": "json_object"}}),
    (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}),
    (CHAT, {"structured_outputs": {"choice": ["a"]}}),
    (CHAT, {"guided_json": {"type": "object"}}),
    (CHAT, {"guided_regex": "a+"}),
    (CHAT, {"guided_grammar": "root ::= a"}),
    (CHAT, {"ebnf": "root ::= a"}),
    (CHAT, {"logprobs": True, "top_logprobs": 2}),
    (CHAT, {"tools": [{"type": "function"}], "tool_choice": "required"}),
    ("/v1/completions", {"logprobs": 0}),
    ("/v1/completions", {"echo": True}),
    ("/v1/completions", {"best_of": 2}),
    ("/generate", {"sampling_params": {"regex": "a+"}}),
    ("/generate", {"sampling_params": {"json_schema": "{}"}}),
    ("/generate", {"sampling_params": {"ebnf": "root ::= a"}}),
    ("/generate", {"sampling_params": {"structural_tag": "{}"}}),
    ("/generate", {"return_logprob": True}),
]


async def broken_after_release(
    fault: Fault, route: str, **more: Any
) -> tuple[Exchange, Proxy, FakeEngine]:
    """An answer that breaks once the client has its first words."""
    body = request_body(route, max_tokens=60) | more
    async with FakeEngine() as sick, FakeEngine() as healthy:
        sick.default = Script(fault, after=20, pause_after=8)
        async with proxy_for(sick, healthy, **STALL) as proxy:
            got = await post_paused(proxy.app, route, body, sick.resume)
    return got, proxy, healthy


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("fault", BREAKING)
async def test_the_next_replica_goes_on_as_if_nothing_had_happened(
    fault: Fault, route: str
) -> None:
    more = {} if route == "/generate" else {"stream_options": {"include_usage": True}}
    got, proxy, healthy = await broken_after_release(fault, route, **more)
    assert (got.text(), got.is_done, got.error) == (words(40), True, None)
    assert list(got.events()).count("[DONE]") == 1
    events = [event for event in got.events() if event != "[DONE]"]
    kept = proxy.sink.attempts[0].released_tokens
    assert 7 <= kept <= 22
    sent = healthy.generations[0].body
    if route == "/generate":
        assert sent["sampling_params"]["max_new_tokens"] == 60 - kept
        metas = [event["meta_info"] for event in events]
        assert len({meta["id"] for meta in metas}) == 1
        assert [meta["finish_reason"] for meta in metas if meta["finish_reason"]] == [
            {"type": "stop"}
        ]
        assert (metas[-1]["prompt_tokens"], metas[-1]["completion_tokens"]) == (7, 40)
    else:
        assert sent["max_tokens"] == 60 - kept
        assert len({event["id"] for event in events}) == 1
        assert len({event["created"] for event in events}) == 1
        choices = [choice for event in events for choice in event["choices"]]
        assert [c["finish_reason"] for c in choices if c["finish_reason"]] == ["stop"]
        usage = {"prompt_tokens": 7, "completion_tokens": 40, "total_tokens": 47}
        assert [event["usage"] for event in events if event.get("usage")] == [usage]
    assert proxy.sink.requests[0].outcome is RequestOutcome.RETRIED_CLEAN


@pytest.mark.parametrize(("route", "more"), NOT_CONTINUED)
async def test_what_cannot_be_continued_ends_in_a_typed_error(
    route: str, more: dict[str, Any]
) -> None:
    got, proxy, healthy = await broken_after_release(Fault.CUT, route, **more)
    assert words(40).startswith(got.text())
    assert got.error is not None
    assert got.error["code"] == "not_continuable"
    assert "[DONE]" not in list(got.events())
    assert got.is_ended
    assert not healthy.generations
    assert proxy.sink.requests[0].retry_refused == "not_continuable"


@pytest.mark.parametrize("field", ["tool_calls", "reasoning_content"])
async def test_a_half_sent_tool_call_or_thought_is_not_continued(field: str) -> None:
    async with FakeEngine(is_paced=True) as sick, FakeEngine() as healthy:
        sick.default = Script(
            Fault.CUT, after=20, pause_after=8, damaged_from=4, word=" w5", field=field
        )
        async with proxy_for(sick, healthy) as proxy:
            body = request_body(CHAT) | {"tools": [{}]}
            got = await post_paused(proxy.app, CHAT, body, sick.resume)
    assert got.error is not None
    assert got.error["code"] == "not_continuable"
    assert not got.is_done
    assert not healthy.generations


async def test_tools_that_were_not_called_yet_are_no_reason_to_give_up() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    got, _, healthy = await broken_after_release(Fault.CUT, CHAT, tools=tools)
    assert (got.text(), got.is_done) == (words(40), True)
    assert healthy.generations[0].body["tools"] == tools


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("route", ROUTES)
async def test_every_answer_says_what_became_of_it(route: str, stream: bool) -> None:
    body = request_body(route, stream=stream)
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        got = await post(proxy.app, route, body)
        engine.default = Script(Fault.STATUS, status=422)
        refused = await post(proxy.app, route, body)
        engine.default = Script(Fault.STATUS, status=500)
        failed = await post(proxy.app, route, body)
    said = "pending" if stream else "none"
    for each, verdict in ((got, said), (refused, "none"), (failed, "none")):
        assert len(each.headers["x-specwatch-request-id"]) == 32
        assert each.headers["x-specwatch-attempts"] == "1"
        assert each.headers["x-specwatch-verdict"] == verdict


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(
    ("bound", "least"),
    [({"max_held_tokens": 10}, 24), ({"max_held_bytes": 2000}, 1)],
)
async def test_what_is_over_the_bounds_of_the_hold_back_is_released_in_order(
    route: str, bound: dict[str, int], least: int
) -> None:
    async with FakeEngine(is_paced=True) as engine:
        engine.default = Script(Fault.STALL, after=34)
        async with proxy_for(engine, release=ReleaseMode.BUFFER, **bound, **STALL) as proxy:
            got = await post(proxy.app, route, request_body(route))
            engine.default = Script()
            whole = await post(proxy.app, route, request_body(route))
    assert whole.text() == words(40)
    assert words(40).startswith(got.text())
    if route != "/generate" or "max_held_tokens" in bound:
        assert got.text().count(" w") >= least
    assert got.text().count(" w") <= 31
