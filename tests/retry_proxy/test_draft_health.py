"""The proxy learns from ended streams whether a replica's drafter works, and tells its panels."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from detectors.acceptance.baseline import AcceptanceBaseline
from detectors.acceptance.library import BaselineLibrary
from detectors.draft_health import DraftState
from detectors.observation import Observation
from detectors.panel import Panel
from detectors.panels import DefaultPanel
from retry_proxy.app import GenerationEndpoint, build_services
from retry_proxy.config import ProxyConfig
from retry_proxy.engines.adapter import EngineProfile, FinalCounters
from retry_proxy.engines.call import GenerationCall, Route, parse_call
from retry_proxy.errors import ConnectFailed
from retry_proxy.events import DraftHealthChanged
from retry_proxy.pass_through import PassThrough
from retry_proxy.watch import Learned, PanelBuilder
from tests.fakes.asgi_client import post
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import Proxy, proxy_for, request_body
from tests.fakes.script import Fault, Script

CHAT = "/v1/chat/completions"


def health_changes(proxy: Proxy) -> list[DraftState]:
    return [e.state for e in proxy.sink.events if isinstance(e, DraftHealthChanged)]


async def ask(proxy: Proxy, count: int, route: str = CHAT, **more: Any) -> None:
    for _ in range(count):
        await post(proxy.app, route, request_body(route, **more))


@pytest.mark.parametrize("route", ["/generate", CHAT])
async def test_a_working_drafter_is_found_healthy_and_told_once(route: str) -> None:
    async with FakeEngine(200) as one, proxy_for(one) as proxy:
        await ask(proxy, 6, route)
        snapshot = proxy.fleet.snapshot()[0]
    assert snapshot.draft_health is DraftState.HEALTHY
    assert "0 of the last 6 streams" in snapshot.draft_reason
    assert health_changes(proxy) == [DraftState.HEALTHY]


async def test_a_dead_drafter_is_one_finding_about_the_replica() -> None:
    """Then it works again, and the finding goes by itself."""
    async with FakeEngine(100) as one, proxy_for(one) as proxy:
        one.default = Script(Fault.LOW_ACCEPTANCE)
        await ask(proxy, 30)
        assert proxy.fleet.snapshot()[0].draft_health is DraftState.DEAD
        one.default = Script()
        await ask(proxy, 12)
    assert health_changes(proxy) == [DraftState.DEAD, DraftState.UNKNOWN, DraftState.HEALTHY]
    told = next(e for e in proxy.sink.events if isinstance(e, DraftHealthChanged))
    assert told.replica == one.address
    assert "streams on this replica had an accept length under 1.60" in told.reason
    assert told.evidence["recent_low"] >= 10


async def test_a_replica_that_comes_back_is_judged_anew() -> None:
    """It may be another engine."""
    async with FakeEngine(200) as one, proxy_for(one, probe_interval_seconds=60) as proxy:
        await ask(proxy, 6)
        replica = proxy.fleet._replicas[0]
        proxy.fleet.note_connect_failed(replica, ConnectFailed("refused"))
        proxy.fleet.note_answered(replica)
        assert proxy.fleet.snapshot()[0].draft_health is DraftState.UNKNOWN
    assert health_changes(proxy) == [DraftState.HEALTHY, DraftState.UNKNOWN]


@pytest.mark.parametrize(("temperature", "expected"), [(0, 0.0), (0.7, None), (None, None)])
def test_greedy_requests_are_compared_with_greedy_ones(
    temperature: float | None, expected: float | None
) -> None:
    sampled = replace(AcceptanceBaseline.published(3), model="m", requests=100)
    library = BaselineLibrary([sampled, replace(sampled, max_temperature=0.0)])
    builder = PanelBuilder(ProxyConfig(replicas=("http://127.0.0.1:1",)), Learned(library))
    body = {"model": "m"} | ({} if temperature is None else {"temperature": temperature})
    call = parse_call(Route.CHAT, msgspec.json.encode(body))
    panel = builder.build(EngineProfile(name="sglang"), call, DraftState.HEALTHY)
    assert isinstance(panel, DefaultPanel)
    panel.update(Observation(text="a", new_tokens=2, steps=1, drafted=3, accepted=1))
    assert panel.acceptance.test is not None
    assert panel.acceptance.test.baseline.max_temperature == expected


async def test_an_engine_without_counters_stays_unknown() -> None:
    """And says nothing."""
    async with FakeEngine(40) as one, proxy_for(one) as proxy:
        replica = proxy.fleet._replicas[0]
        for _ in range(100):
            proxy.fleet.note_acceptance(
                replica, FinalCounters(), was_flagged=False, is_upper_bound=False
            )
    assert health_changes(proxy) == []


async def test_each_panel_is_built_for_what_is_known_of_its_replica() -> None:
    """The panel decides by it whether one stream's low acceptance is believed at once."""
    known: list[DraftState] = []
    async with FakeEngine(200) as one, proxy_for(one) as proxy:
        services = build_services(proxy.config, proxy.sink, proxy.fleet)

        def build_panel(profile: EngineProfile, call: GenerationCall, state: DraftState) -> Panel:
            known.append(state)
            return services.build_panel(profile, call, state)

        watched = replace(services, build_panel=build_panel)
        endpoint = GenerationEndpoint(Route.CHAT, watched, PassThrough(proxy.fleet, 2**20))
        for _ in range(6):
            await post(endpoint, CHAT, request_body(CHAT))
    assert known[0] is DraftState.UNKNOWN
    assert known[-1] is DraftState.HEALTHY
