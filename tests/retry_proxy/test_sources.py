"""Replicas that come and go: a file, DNS, Kubernetes, the operator's orders."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from retry_proxy.addresses import AddressRules
from retry_proxy.config import BalanceName, ProxyConfig
from retry_proxy.errors import InvalidConfig, RefusedAddress, UnknownReplica
from retry_proxy.events import FleetTrouble, FleetTroubled, ReplicaState
from retry_proxy.fleet import Fleet
from retry_proxy.fleet.lease import Lease
from retry_proxy.fleet.pool import Pool
from retry_proxy.fleet.roster import Order, Roster
from retry_proxy.fleet.sources.dns import DnsSource, resolve_by_system
from retry_proxy.fleet.sources.file import FileSource
from retry_proxy.fleet.sources.kubernetes import (
    KubernetesSource,
    Service,
    api_address,
    ready_addresses,
)
from retry_proxy.fleet.sources.kubernetes_slices import Page
from retry_proxy.fleet.sources.source import SourceUnavailable
from retry_proxy.fleet.ward import Notice, Trouble, Ward
from retry_proxy.stream.sockets import SocketUpstream
from tests.fakes.asgi_client import post, start
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import proxy_for, request_body, words
from tests.fakes.script import Script
from tests.fakes.sink import RecordingSink

S = ReplicaState


class World:
    """A roster and its pool."""

    def __init__(self, *allowed: str) -> None:
        config = ProxyConfig(replicas=("http://flag",), allow_addresses=allowed)
        self.pool = Pool(BalanceName.LEAST)
        ward = Ward(self.pool, config)
        self.roster = Roster(self.pool, ward, AddressRules(allowed))
        self.roster.add("http://flag", "flags")
        self.told: list[Notice] = []

    def update(self, *addresses: str) -> None:
        self.told += self.roster.update("file", addresses, 0.0)

    def apply(self, order: Order, address: str) -> None:
        self.told += self.roster.apply(order, address, 0.0)

    def state(self, address: str) -> ReplicaState:
        return self.states[address]

    @property
    def states(self) -> dict[str, ReplicaState]:
        return {one.address: one.state for one in self.pool.members}


def test_a_list_brings_members_and_takes_only_its_own() -> None:
    world = World()
    world.update("http://a/", "http://b", "http://a")
    assert list(world.states) == ["http://flag", "http://a", "http://b"]
    world.update("http://b", "http://flag")
    assert world.states == {"http://flag": S.HEALTHY, "http://a": S.DRAINING, "http://b": S.HEALTHY}
    world.roster.tidy()
    assert list(world.states) == ["http://flag", "http://b"]


def test_a_member_that_goes_ends_its_streams_first() -> None:
    world = World()
    world.update("http://a")
    going = world.pool.get("http://a")
    assert going is not None
    with Lease(going, 10):
        world.update("http://b")
        world.roster.tidy()
        assert world.state("http://a") is S.DRAINING
    world.roster.tidy()
    assert "http://a" not in world.states


def test_a_member_that_is_listed_again_stays() -> None:
    world = World()
    world.update("http://a", "http://b")
    world.update("http://b")
    world.update("http://a", "http://b")
    world.roster.tidy()
    assert world.state("http://a") is S.HEALTHY


def test_the_operators_drain_outlives_the_list() -> None:
    world = World()
    world.update("http://a")
    world.apply(Order.DRAIN, "http://a")
    world.update("http://a")
    assert world.state("http://a") is S.DRAINING
    world.apply(Order.RELEASE, "http://a/")
    assert world.state("http://a") is S.HEALTHY


def test_a_forbidden_address_in_a_list_is_told_once_and_spoils_nothing() -> None:
    world = World()
    for _ in range(3):
        world.update("http://169.254.169.254", "http://a")
    assert list(world.states) == ["http://flag", "http://a"]
    assert [one.kind for one in world.told if isinstance(one, Trouble)] == [
        FleetTrouble.ADDRESS_REFUSED
    ]


def test_orders() -> None:
    world = World()
    world.apply(Order.ADD, "http://new")
    world.apply(Order.QUARANTINE, "http://new")
    assert world.state("http://new") is S.QUARANTINED
    world.apply(Order.REMOVE, "http://new")
    assert world.state("http://new") is S.DRAINING
    world.apply(Order.ADD, "http://new")
    world.roster.tidy()
    assert world.state("http://new") is S.HEALTHY


def test_orders_that_make_no_sense() -> None:
    world = World("10.0.0.0/8")
    with pytest.raises(RefusedAddress, match="already"):
        world.apply(Order.ADD, "http://flag")
    with pytest.raises(RefusedAddress, match="allowed"):
        world.apply(Order.ADD, "http://11.0.0.1")
    for order in (Order.REMOVE, Order.DRAIN, Order.QUARANTINE, Order.RELEASE):
        with pytest.raises(UnknownReplica):
            world.apply(order, "http://nobody")


# a file


@pytest.mark.parametrize("text", ["replicas: [http://a, http://b]", "- http://a\n- http://b\n"])
async def test_a_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "replicas.yaml"
    path.write_text(text)
    source = FileSource(path)
    assert await source.addresses() == ("http://a", "http://b")
    path.write_text("[http://c]")
    assert await source.addresses() == ("http://c",)


@pytest.mark.parametrize("text", ["replicas: http://a", "a: [", "", "[1]", "replicas: {}"])
async def test_a_file_that_makes_no_sense(tmp_path: Path, text: str) -> None:
    path = tmp_path / "replicas.yaml"
    path.write_text(text)
    with pytest.raises(SourceUnavailable, match="replicas"):
        await FileSource(path).addresses()
    with pytest.raises(SourceUnavailable, match="cannot read"):
        await FileSource(tmp_path / "none").addresses()


async def test_a_changed_file_moves_the_traffic_without_dropping_a_stream(tmp_path: Path) -> None:
    path = tmp_path / "replicas.yaml"
    async with FakeEngine() as old, FakeEngine() as new:
        old.default = Script(pause_after=7)
        path.write_text(f"[{old.address}]")
        options = {"replicas_file": str(path), "source_interval_seconds": 60.0}
        async with proxy_for(**options, probe_interval_seconds=0.01) as proxy:
            body = request_body("/generate", max_tokens=60)
            running = start(proxy.app, "POST", "/generate", body)
            await running.wait_for(b" w5")
            path.write_text(f"[{new.address}]")
            proxy.fleet.reload()  # as SIGHUP does
            await proxy.sink.wait_for_changes(1)
            later = await post(proxy.app, "/generate", body)
            assert [one.state for one in proxy.fleet.snapshot()] == [S.DRAINING, S.HEALTHY]
            old.resume.set()
            assert (await running.finish()).text() == later.text() == words(40)
            proxy.fleet._roster.tidy()
            assert [one.address for one in proxy.fleet.snapshot()] == [new.address]
    assert (len(old.generations), len(new.generations)) == (1, 1)


async def test_a_list_that_goes_away_or_empties_leaves_the_fleet_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "replicas.yaml"
    path.write_text("[http://127.0.0.1:9]")
    sink = RecordingSink()
    config = ProxyConfig(replicas_file=str(path), source_interval_seconds=0.01)
    fleet = Fleet(config, sink)
    await fleet.start()
    try:
        for text in ("[]", "nonsense"):
            path.write_text(text)
            fleet.reload()
            await asyncio.sleep(0.05)
    finally:
        await fleet.stop()
    assert [one.address for one in fleet.snapshot()] == ["http://127.0.0.1:9"]
    troubles = [event for event in sink.events if isinstance(event, FleetTroubled)]
    assert [event.kind for event in troubles] == [FleetTrouble.SOURCE_UNAVAILABLE] * 2
    assert "the last list stays" in troubles[0].reason


# DNS


async def test_each_address_of_a_name_is_a_replica() -> None:
    answers = [["10.0.0.2", "10.0.0.1", "10.0.0.2"], ["10.0.0.3", "fd00::1"]]

    async def resolve(host: str, port: int) -> list[str]:
        assert (host, port) == ("engines.local", 30000)
        return answers.pop(0)

    source = DnsSource("http://engines.local:30000", resolve)
    assert await source.addresses() == ("http://10.0.0.1:30000", "http://10.0.0.2:30000")
    assert await source.addresses() == ("http://10.0.0.3:30000", "http://[fd00::1]:30000")


async def test_a_name_that_does_not_resolve() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(SourceUnavailable, match="no such name"):
        await DnsSource("http://engines", resolve).addresses()


async def test_the_systems_resolver() -> None:
    assert await resolve_by_system("127.0.0.1", 5) == ["127.0.0.1"]


@pytest.mark.parametrize("base", ["engines", "https://engines", "http://engines/v1", "http://"])
def test_a_dns_option_that_makes_no_sense(base: str) -> None:
    with pytest.raises(InvalidConfig, match="replicas_dns"):
        DnsSource(base)


# Kubernetes


def endpoint(ip: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [ip], "conditions": conditions}


def slices(*endpoints: dict[str, Any], kind: str = "IPv4") -> dict[str, Any]:
    ports = [{"name": "http", "port": 30000}, {"name": "metrics", "port": 9000}]
    return {"items": [{"addressType": kind, "ports": ports, "endpoints": list(endpoints)}]}


def ready(page: dict[str, Any], port: str | None) -> Iterator[str]:
    return ready_addresses(msgspec.convert(page, Page), port)


def test_only_what_is_ready_is_a_replica() -> None:
    page = slices(
        endpoint("10.0.0.1", ready=True),
        endpoint("10.0.0.2", ready=False),
        endpoint("10.0.0.3", ready=True, terminating=True),
        {"addresses": ["10.0.0.4"]},
        {"addresses": []},
    )
    expected = ["http://10.0.0.1:30000", "http://10.0.0.4:30000"]
    assert list(ready(page, "http")) == list(ready(page, "30000")) == expected
    assert list(ready(page, "other")) == []
    assert list(ready(page, None)) == [], "two ports, none named"
    assert list(ready(slices(endpoint("fd00::1"), kind="IPv6"), "http")) == [
        "http://[fd00::1]:30000"
    ]
    assert list(ready(slices(endpoint("name"), kind="FQDN"), "http")) == []
    assert list(ready({"items": None}, None)) == []


@asynccontextmanager
async def api_server(pages: dict[str, Any], seen: list[web.Request]) -> AsyncIterator[str]:
    """An API server with one page for each ``continue`` token."""

    async def serve(request: web.Request) -> web.Response:
        seen.append(request)
        if request.headers.get("authorization") != "Bearer s3cret":
            return web.Response(status=401)
        return web.json_response(pages[request.query.get("continue", "")])

    app = web.Application()
    app.router.add_get("/{path:.*}", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


async def test_endpoints_are_read_from_the_api(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    first = slices(endpoint("10.0.0.2")) | {"metadata": {"continue": "a/b="}}
    seen: list[web.Request] = []
    service = Service.parse("llm/engines:http")
    async with api_server({"": first, "a/b=": slices(endpoint("10.0.0.1"))}, seen) as api:
        source = KubernetesSource(service, SocketUpstream(1.0), api, token)
        try:
            assert await source.addresses() == ("http://10.0.0.1:30000", "http://10.0.0.2:30000")
            token.write_text("renewed")
            with pytest.raises(SourceUnavailable, match="401"):
                await source.addresses()
            token.unlink()
            with pytest.raises(SourceUnavailable, match="cannot be asked"):
                await source.addresses()
        finally:
            await source.close()
    assert seen[0].path == "/apis/discovery.k8s.io/v1/namespaces/llm/endpointslices"
    assert seen[0].query["labelSelector"] == "kubernetes.io/service-name=engines"


@pytest.mark.parametrize("page", [[], {"items": 5}, {"items": [{"endpoints": ["a"]}]}, "x", None])
async def test_an_api_server_that_answers_something_else(tmp_path: Path, page: object) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret")
    async with api_server({"": page}, []) as api:
        source = KubernetesSource(Service("a", "b", None), SocketUpstream(1.0), api, token)
        with pytest.raises(SourceUnavailable, match="as agreed"):
            await source.addresses()
        await source.close()


async def test_an_api_server_that_is_away(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("s3cret")
    upstream = SocketUpstream(0.2)
    source = KubernetesSource(Service("a", "b", None), upstream, "http://127.0.0.1:9", token)
    with pytest.raises(SourceUnavailable, match="cannot be asked"):
        await source.addresses()
    await source.close()


@pytest.mark.parametrize("text", ["engines", "a/", "/b", "a b/c", "a/b/c", "a/../b"])
def test_a_service_that_makes_no_sense(text: str) -> None:
    with pytest.raises(InvalidConfig, match="namespace/service"):
        Service.parse(text)


def test_where_the_api_server_is() -> None:
    inside = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    assert api_address(inside) == "https://10.96.0.1:6443"
    assert api_address({"KUBERNETES_SERVICE_HOST": "fd00::1"}) == "https://[fd00::1]:443"
    with pytest.raises(InvalidConfig, match="cluster"):
        api_address({})
