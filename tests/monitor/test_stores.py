"""Both stores keep what they should, and an outage of Redis costs nobody anything."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from msgspec import structs

from detectors.verdict import AnomalyKind
from monitor.ports import Store
from monitor.records import Incident, IncidentFilter, ended_record, incident_of
from monitor.store.breaker import Breaker
from monitor.store.memory import MemoryStore
from monitor.store.redis import RedisStore, connect
from monitor.store.redis_records import INCIDENT_INDEX, incident_key
from tests.monitor.events import REPLICA_B, request_ended, request_id, stopped, verdict

ANY = IncidentFilter()


def incident(
    number: int, replica: str = "http://a", kind: AnomalyKind = AnomalyKind.GARBLED
) -> Incident:
    """One incident; a higher number is newer."""
    made = incident_of(stopped(number, replica=replica, verdict=verdict(kind=kind)))
    assert made is not None
    return made


def redis_store(server: FakeServer, pause_seconds: float = 0.0, **options: int) -> RedisStore:
    """A store on a server in this process."""
    return RedisStore(FakeAsyncRedis(server=server), breaker=Breaker(pause_seconds), **options)


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest, server: FakeServer) -> AsyncIterator[Store]:
    """Each of the stores, holding at most 5 incidents."""
    made: Store = MemoryStore(5) if request.param == "memory" else redis_store(server, capacity=5)
    await made.start()
    yield made
    await made.close()


async def settle(store: Store) -> None:
    """What was put is where it is read from."""
    if isinstance(store, RedisStore):
        await store.written()


async def test_incidents_come_newest_first(store: Store) -> None:
    """And no more than asked for."""
    for number in range(4):
        store.put_incident(incident(number))
    await settle(store)
    found = await store.incidents(IncidentFilter(limit=3))
    assert [one.request_id for one in found] == [request_id(number) for number in (3, 2, 1)]


async def test_filters(store: Store) -> None:
    """By kind, replica, model and time."""
    store.put_incident(incident(1))
    store.put_incident(incident(2, replica=REPLICA_B))
    store.put_incident(incident(3, kind=AnomalyKind.REPETITION))
    await settle(store)

    async def ids(wanted: IncidentFilter) -> list[str]:
        return [one.request_id for one in await store.incidents(wanted)]

    assert await ids(IncidentFilter(replica=REPLICA_B)) == [request_id(2)]
    assert await ids(IncidentFilter(kind=AnomalyKind.REPETITION)) == [request_id(3)]
    assert await ids(IncidentFilter(model="other")) == []
    assert await ids(IncidentFilter(since=1004.0)) == [request_id(3), request_id(2)]


async def test_the_oldest_incident_makes_room(store: Store) -> None:
    """A store never grows without bound."""
    for number in range(8):
        store.put_incident(incident(number))
        await settle(store)
    found = await store.incidents(IncidentFilter(limit=100))
    assert [one.request_id for one in found] == [request_id(number) for number in range(7, 2, -1)]


async def test_one_incident_and_one_request(store: Store) -> None:
    """Found by id; an unknown id is nothing."""
    kept = incident(1)
    store.put_incident(kept)
    store.put_request(ended_record(request_ended(1), (kept.facts,)))
    await settle(store)
    assert await store.incident(kept.id) == kept
    assert await store.incident("unknown") is None
    record = await store.request(request_id(1))
    assert record is not None
    assert record.attempts == (kept.facts,)
    assert await store.request("unknown") is None


async def test_an_incident_put_again_keeps_its_place(store: Store) -> None:
    """It learns how its request ended; it is still one, and no newer."""
    first, second = incident(1), incident(2)
    store.put_incident(first)
    store.put_incident(second)
    later = structs.replace(first, request=ended_record(request_ended(1), (first.facts,)))
    store.put_incident(later)
    await settle(store)
    assert await store.incidents(ANY) == [second, later]


async def test_text_goes_before_its_incident(server: FakeServer) -> None:
    """In memory when it is next asked for, in Redis by itself."""
    now = 1100.0
    memory = MemoryStore(text_seconds=60.0, clock=lambda: now)
    kept = structs.replace(incident(1), text_sample="captured", at=1100.0)
    memory.put_incident(kept)
    assert await memory.incidents(ANY) == [kept]
    now = 1160.0
    bare = structs.replace(kept, text_sample=None)
    assert await memory.incidents(ANY) == [bare]
    assert await memory.incident(kept.id) == bare
    memory.put_incident(incident(2))  # has it look for text that is due
    now = 1100.0
    assert await memory.incident(kept.id) == bare


async def test_proxies_share_through_redis(server: FakeServer) -> None:
    """What one proxy saw, another one tells."""
    first, second = redis_store(server), redis_store(server)
    await first.start()
    first.put_incident(incident(1))
    first.put_request(ended_record(request_ended(1), ()))
    await first.written()
    assert await second.incidents(ANY) == [incident(1)]
    assert await second.incident(incident(1).id) == incident(1)
    assert await second.request(request_id(1)) is not None
    await first.close()
    await second.close()


async def test_an_outage_loses_nothing_that_is_kept_here(server: FakeServer) -> None:
    """Reads answer from memory; what waits is written once Redis is back."""
    store = redis_store(server)
    await store.start()
    server.connected = False
    store.put_incident(incident(1))
    assert await store.incidents(ANY) == [incident(1)]
    assert not store.health().is_up
    assert store.health().errors > 0
    server.connected = True
    await store.written()
    assert store.health().is_up
    assert await redis_store(server).incidents(ANY) == [incident(1)]
    await store.close()


async def test_a_long_outage_is_bounded(server: FakeServer) -> None:
    """The oldest waiting record is dropped and counted."""
    server.connected = False
    store = redis_store(server, queue_limit=3)
    for number in range(10):
        store.put_incident(incident(number))
    assert store.health().dropped == 7
    await store.close()


async def test_what_waits_is_written_at_the_end(server: FakeServer) -> None:
    """Also when the writer never got a turn."""
    store = redis_store(server)
    await store.start()
    for number in range(250):
        store.put_incident(incident(number))
    await store.close()
    found = await redis_store(server).incidents(IncidentFilter(limit=1000))
    assert len(found) == 250


async def test_what_another_version_wrote_is_left_out(server: FakeServer) -> None:
    """A record that cannot be read is no reason to fail."""
    store = redis_store(server)
    client = FakeAsyncRedis(server=server)
    await client.set(incident_key("odd"), b"\xc1 not ours")
    await client.xadd(INCIDENT_INDEX, {"id": "odd", "at": "not a number"})
    await client.xadd(INCIDENT_INDEX, {"id": "expired"})
    await client.xadd(INCIDENT_INDEX, {"of": "a later version"})
    assert await store.incidents(ANY) == []
    assert store.health().unreadable == 1
    assert await store.incident("odd") is None
    assert store.health().unreadable == 2
    await client.aclose()
    await store.close()


async def test_a_key_of_another_type_is_an_outage(server: FakeServer) -> None:
    """Somebody else's key under our name: counted, answered from memory."""
    store = redis_store(server)
    client = FakeAsyncRedis(server=server)
    await client.set(INCIDENT_INDEX, "a text")
    store.put_incident(incident(1))
    assert await store.incidents(ANY) == [incident(1)]
    assert store.health().errors > 0
    await client.aclose()
    await store.close()


async def test_what_redis_does_not_take_is_told_all_the_same(server: FakeServer) -> None:
    """A full Redis is read as ever and takes nothing; its old list hid the newest incidents."""
    other, store = redis_store(server), redis_store(server)
    await other.start()
    for number in (1, 3):
        other.put_incident(incident(number))
    await other.written()
    store.put_incident(incident(2))  # nobody writes it
    assert await store.incidents(ANY) == [incident(3), incident(2), incident(1)]
    assert await store.incidents(IncidentFilter(limit=1)) == [incident(3)]
    await other.close()
    await store.close()


async def test_a_server_that_never_answers_costs_one_short_timeout() -> None:
    """With the client's own defaults a stopped server held a call for more than 8 seconds."""

    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the client leaves
        writer.close()
        left.set()

    listener = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    store = RedisStore(connect(f"redis://127.0.0.1:{port}/0"), breaker=Breaker(60.0))
    store.put_incident(incident(1))
    started = time.monotonic()
    for _ in range(20):
        assert await store.incidents(ANY) == [incident(1)]
    assert time.monotonic() - started < 1.0
    assert store.health().errors == 1
    await store.close()
    listener.close()
    await left.wait()


def test_breaker_leaves_a_failing_server_alone_for_a_moment() -> None:
    """One failure keeps calls away; the first success lets all through again."""
    breaker = Breaker(pause_seconds=2.0)
    assert breaker.may_call(0.0)
    breaker.failed(0.0)
    assert not breaker.may_call(1.9)
    assert not breaker.is_up
    assert breaker.may_call(2.0)
    assert breaker.away_seconds(3.0) == 3.0
    breaker.succeeded(3.0)
    assert breaker.away_seconds(9.0) == 3.0
    assert breaker.may_call(2.0)
    assert breaker.is_up
