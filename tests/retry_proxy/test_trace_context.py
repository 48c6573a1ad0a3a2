"""W3C Trace Context in and out: what a client says, what an engine hears."""

import uuid

import pytest

from retry_proxy.trace_context import Tracing, client_context
from tests.fakes.asgi_client import post
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import CHAT, proxy_for, request_body
from tests.fakes.script import Fault, Script

TRACE, SPAN, REQUEST = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00" * 15 + "7f"
GOOD = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nonsense",
        GOOD.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"{GOOD}-more",
        f"00-{TRACE}-{SPAN}",
        f"cc-{TRACE}-{SPAN}-01more",
        f"00-{TRACE[:-1]}-{SPAN}-01",
    ],
)
def test_what_is_no_context_begins_a_trace(value: str) -> None:
    """With the request's own id, so that exemplars, spans and `/api/requests` agree."""
    trace = Tracing().begin([("traceparent", value)], REQUEST)
    assert client_context([("traceparent", value)]) is None
    assert (trace.trace_id, trace.parent_id, trace.is_sampled) == (REQUEST, None, True)


def test_two_contexts_are_none() -> None:
    assert client_context([("traceparent", GOOD), ("traceparent", GOOD)]) is None


def test_a_later_version_may_say_more() -> None:
    client = client_context([("traceparent", f"cc-{TRACE}-{SPAN}-03-what.is.to.come")])
    assert client is not None
    assert client.traceparent == f"00-{TRACE}-{SPAN}-03"


@pytest.mark.parametrize("flags", ["00", "01", "02", "03"])
def test_the_clients_choice_is_kept(flags: str) -> None:
    """Whatever share is kept of the traces that begin here; the random bit goes on as well."""
    for rate in (0.0, 1.0):
        trace = Tracing(rate).begin([("traceparent", f"00-{TRACE}-{SPAN}-{flags}")], REQUEST)
        assert (trace.trace_id, trace.parent_id) == (TRACE, SPAN)
        assert trace.is_sampled == (flags in ("01", "03"))
        assert trace.child().traceparent.endswith(f"-{flags}")


def test_a_share_is_kept_by_the_id() -> None:
    """So that all who see an id decide alike."""
    low, high = "f" * 16 + "0" * 15 + "1", "0" * 16 + "f" * 16
    assert Tracing(0.5).begin([], low).is_sampled
    assert not Tracing(0.5).begin([], high).is_sampled
    assert Tracing(1.0).begin([], high).is_sampled
    assert not Tracing(0.0).begin([], "0" * 32).is_sampled


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_of_real_ids_is_the_one_asked_for(rate: float) -> None:
    """Bits of a UUID that are no chance were drawn as well: up to 0.5 kept none, from 0.75 all."""
    tracing = Tracing(rate)
    kept = sum(tracing.begin([], uuid.uuid4().hex).is_sampled for _ in range(4000))
    assert abs(kept / 4000 - rate) < 0.05  # six standard deviations at the least


async def test_each_attempt_hands_on_a_span_of_its_own() -> None:
    """Below the request's, in the client's trace, with the client's state."""
    async with (
        FakeEngine(300) as sick,
        FakeEngine(300) as well,
        proxy_for(sick, well, tracing=Tracing()) as proxy,
    ):
        sick.default = Script(Fault.LOW_ACCEPTANCE, after=10)
        headers = [("host", "p"), ("traceparent", GOOD), ("tracestate", "a=b")]
        await post(proxy.app, CHAT, request_body(CHAT), headers=headers)
        heard = [engine.generations[0].headers for engine in (sick, well)]
        (request,), attempts = proxy.sink.requests, proxy.sink.attempts
    assert request.trace is not None
    assert request.trace.parent_id == SPAN
    told = [one.trace for one in attempts if one.trace is not None]
    assert [one.parent_id for one in told] == [request.trace.span_id] * 2
    assert [one["traceparent"] for one in heard] == [one.traceparent for one in told]
    assert {one.trace_id for one in told} == {TRACE}
    assert len({request.trace.span_id, SPAN, *(one.span_id for one in told)}) == 4
    assert [one["tracestate"] for one in heard] == ["a=b", "a=b"]


async def test_the_state_of_a_broken_context_ends_here() -> None:
    async with FakeEngine() as engine, proxy_for(engine, tracing=Tracing()) as proxy:
        headers = [("host", "p"), ("traceparent", "broken"), ("tracestate", "a=b")]
        await post(proxy.app, CHAT, request_body(CHAT), headers=headers)
        heard = engine.generations[0].headers
        (request,) = proxy.sink.requests
    assert heard["traceparent"].split("-")[1] == request.request_id
    assert "tracestate" not in heard


async def test_without_tracing_a_context_passes_as_it_came() -> None:
    async with FakeEngine() as engine, proxy_for(engine) as proxy:
        await post(proxy.app, CHAT, request_body(CHAT), headers=[("traceparent", GOOD)])
        assert engine.generations[0].headers["traceparent"] == GOOD
        assert proxy.sink.requests[0].trace is None
