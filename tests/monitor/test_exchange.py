"""Proxies hear each other through Redis, and miss nothing but each other when it is away."""

import asyncio
import time
from collections.abc import Mapping

import pytest
from fakeredis import FakeAsyncRedis, FakeServer

from monitor.store.breaker import Breaker
from monitor.store.exchange import EXPIRY_SECONDS, PROXIES, RedisExchange
from monitor.store.redis import connect
from retry_proxy.fleet.gossip import SharedQuarantine, Told


class Fleet:
    """Says one thing and remembers what it heard."""

    def __init__(self, *says: str) -> None:
        quarantines = [SharedQuarantine(address, 1, None, "test") for address in says]
        self.says = Told(quarantines, dict.fromkeys(says, (5, 1)))
        self.heard: list[list[str]] = []

    def shared(self) -> Told:
        return self.says

    def hear(self, peers: Mapping[str, Told]) -> None:
        assert all(set(told.counts.values()) <= {(5, 1)} for told in peers.values())
        told = [one.replica for told in peers.values() for one in told.quarantines]
        self.heard.append(sorted(told))


def exchange(server: FakeServer, fleet: Fleet, pause_seconds: float = 0.0) -> RedisExchange:
    client = FakeAsyncRedis(server=server)
    return RedisExchange(client, fleet, interval_seconds=0.01, breaker=Breaker(pause_seconds))


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


async def test_each_hears_the_others_and_not_itself(server: FakeServer) -> None:
    fleets = [Fleet("http://a"), Fleet("http://b"), Fleet()]
    talkers = [exchange(server, fleet) for fleet in fleets]
    for _ in range(2):
        for talker in talkers:
            assert await talker.talk()
    assert [fleet.heard[-1] for fleet in fleets] == [
        ["http://b"],
        ["http://a"],
        ["http://a", "http://b"],
    ]


async def test_what_one_knows_expires_and_who_stops_takes_it_back(server: FakeServer) -> None:
    first, second = Fleet("http://a"), Fleet()
    told = exchange(server, first)
    async with asyncio.timeout(5), told.running():
        while not first.heard:  # noqa: ASYNC110 (the fake fleet has no event)
            await asyncio.sleep(0.01)
        assert (
            0
            < await FakeAsyncRedis(server=server).ttl(f"specwatch:proxy:{told.me}")
            <= (EXPIRY_SECONDS)
        )
        other = exchange(server, second)
        await other.talk()
    await other.talk()
    assert second.heard == [["http://a"], []]


async def test_an_outage_is_survived_and_over_at_once(server: FakeServer) -> None:
    fleet = Fleet("http://a")
    talker = exchange(server, fleet)
    await exchange(server, Fleet("http://b")).talk()
    server.connected = False
    assert not await talker.talk()
    assert fleet.heard == []
    server.connected = True
    assert await talker.talk()
    assert fleet.heard == [["http://b"]]


async def test_the_breaker_leaves_redis_alone(server: FakeServer) -> None:
    talker = exchange(server, Fleet(), pause_seconds=60.0)
    server.connected = False
    await talker.talk()
    server.connected = True
    assert not await talker.talk()
    assert talker.breaker.failures == 1


@pytest.mark.parametrize("value", [b"nonsense", b"\x93\x01\x02\x03", b""])
async def test_what_another_version_wrote_is_passed_over(server: FakeServer, value: bytes) -> None:
    client, fleet = FakeAsyncRedis(server=server), Fleet()
    await client.set("specwatch:proxy:odd", value)
    await client.zadd(PROXIES, {"odd": time.time(), "gone": 1e12})
    assert await exchange(server, fleet).talk()
    assert fleet.heard == [[]]


async def test_a_key_of_a_wrong_type_is_an_outage(server: FakeServer) -> None:
    await FakeAsyncRedis(server=server).set(PROXIES, b"text")
    fleet = Fleet()
    assert not await exchange(server, fleet).talk()
    assert fleet.heard == []


async def test_a_server_that_never_answers_costs_a_tenth_of_a_second() -> None:
    """SIGSTOP: it still takes connections."""
    is_over = asyncio.Event()

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await is_over.wait()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = connect(f"redis://127.0.0.1:{port}/0")
    talker = RedisExchange(client, Fleet())
    began = time.monotonic()
    assert not await talker.talk()
    assert time.monotonic() - began < 1.0
    await client.aclose()
    is_over.set()
    server.close()
    await server.wait_closed()
