"""How records lie in Redis: bounded, expiring, and read whichever version wrote them."""

import time

import msgspec
import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from msgspec import structs

from monitor.records import IncidentFilter
from monitor.store.redis_records import INCIDENT_INDEX, incident_key, text_key
from tests.monitor.events import REPLICA_B, request_id
from tests.monitor.test_stores import incident, redis_store

ANY = IncidentFilter()


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


async def test_text_in_redis_is_a_key_that_expires(server: FakeServer) -> None:
    """And is in no other: the record itself lives on without it."""
    store = redis_store(server, text_seconds=60)
    await store.start()
    kept = structs.replace(incident(1), text_sample="captured", at=time.time())
    old = structs.replace(incident(2), text_sample="too late", at=time.time() - 61)
    store.put_incident(kept)
    store.put_incident(old)
    await store.written()
    client = FakeAsyncRedis(server=server)
    assert 0 < await client.ttl(text_key(kept.id)) <= 60
    assert not await client.exists(text_key(old.id))
    reader = redis_store(server)
    assert await reader.incident(kept.id) == kept
    assert [one.text_sample for one in await reader.incidents(ANY)] == ["captured", None]
    await client.delete(text_key(kept.id))  # as Redis does when its time has come
    assert await reader.incident(kept.id) == structs.replace(kept, text_sample=None)
    for key in await client.keys():
        if await client.type(key) == b"string":
            assert b"too late" not in (await client.get(key) or b"")
    await client.aclose()
    await reader.close()
    await store.close()


async def test_the_list_expires_and_is_bounded_in_redis(server: FakeServer) -> None:
    """Whatever becomes of the proxies that wrote it."""
    store = redis_store(server, capacity=5, keep_seconds=100)
    await store.start()
    for number in range(300):
        store.put_incident(incident(number))
    await store.written()
    client = FakeAsyncRedis(server=server)
    assert await client.xlen(INCIDENT_INDEX) == 5
    assert 0 < await client.ttl(INCIDENT_INDEX) <= 100
    await client.aclose()
    await store.close()


async def test_a_filter_looks_past_the_first_page(server: FakeServer) -> None:
    """What is wanted may be old; what is not wanted is not fetched."""
    store = redis_store(server)
    await store.start()
    store.put_incident(incident(0, replica=REPLICA_B))
    for number in range(1, 350):
        store.put_incident(incident(number))
    await store.written()
    found = await store.incidents(IncidentFilter(replica=REPLICA_B))
    assert [one.request_id for one in found] == [request_id(0)]
    await store.close()


async def test_records_of_an_older_and_a_newer_version_are_read(server: FakeServer) -> None:
    """Fields that are not there yet are absent, fields of later are left out."""
    client = FakeAsyncRedis(server=server)
    facts = {"attempt": 1, "rid": "r01", "replica": "http://a", "outcome": "anomaly"}
    old = {"id": "r01", "request_id": "r", "at": 5.0, "kind": "garbled"}
    old["facts"] = facts | {"started_at": 1.0, "of_later": [1, {"a": None}]}
    await client.set(incident_key("r01"), msgspec.msgpack.encode(old | {"shape": "later"}))
    await client.set(incident_key("r02"), msgspec.msgpack.encode(old | {"kind": "new kind"}))
    for name in ("r01", "r02"):
        await client.xadd(INCIDENT_INDEX, {"id": name})
    store = redis_store(server)
    (found,) = await store.incidents(ANY)
    assert (found.id, found.steps, found.facts.held_seconds) == ("r01", None, None)
    assert store.health().unreadable == 1
    await client.aclose()
    await store.close()
