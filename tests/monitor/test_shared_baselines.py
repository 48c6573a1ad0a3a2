"""Baselines through Redis: taken while serving, refused where they are none, kept in an outage."""

import asyncio
import json
import shutil
from pathlib import Path

import aiohttp
import msgspec
import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis
from typer.testing import CliRunner

from detectors.acceptance.baseline import AcceptanceBaseline
from detectors.acceptance.library import BaselineLibrary
from detectors.draft_health import DraftState
from monitor.cli import app
from monitor.demo.process import Stack, free_port
from monitor.errors import SharingFailed
from monitor.store.baselines import BASELINES, VERSION, RedisBaselines, field_of, publish
from monitor.store.breaker import Breaker
from retry_proxy.config import ProxyConfig
from retry_proxy.engines.adapter import EngineProfile
from retry_proxy.engines.call import Route, parse_call
from retry_proxy.watch import Learned, PanelBuilder
from tests.monitor.test_serve import proxy, replica, start, start_redis


def learned(model: str, accepted: int = 2) -> AcceptanceBaseline:
    steps = [[accepted, accepted, 1, 3, 0, accepted] * 10] * 60
    return AcceptanceBaseline.learn(steps, 3, model=model, engine="sglang")


class Proxy:
    """Takes what comes."""

    def __init__(self, server: FakeServer) -> None:
        self.taken: list[list[str]] = []
        client = FakeAsyncRedis(server=server)
        self.sharing = RedisBaselines(client, self._take, breaker=Breaker(0.0))

    def _take(self, found: object) -> None:
        assert isinstance(found, list)
        self.taken.append(sorted(one.model for one in found))


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


async def write(server: FakeServer, field: str, value: bytes) -> None:
    client = FakeAsyncRedis(server=server)
    await client.hset(BASELINES, field, value)
    await client.incr(VERSION)


async def share(server: FakeServer, *baselines: AcceptanceBaseline) -> None:
    for one in baselines:
        await write(server, field_of(one), msgspec.msgpack.encode(one))


async def test_a_new_one_is_taken_and_read_only_once(server: FakeServer) -> None:
    one = Proxy(server)
    assert not await one.sharing.look()
    await share(server, learned("a"))
    assert await one.sharing.look()
    assert not await one.sharing.look()
    await share(server, learned("a", accepted=3), learned("b"))
    assert await one.sharing.look()
    assert one.taken == [["a"], ["a", "b"]]
    assert one.sharing.refused == 0


@pytest.mark.parametrize(
    "change",
    [
        {"floor": [0.5, 0.5]},
        {"floor": [0.5, 0.5, 0.5, 0.5]},
        {"ceiling": [float("nan"), 0.4, 0.3, 0.3]},
        {"histogram": [0.0, 0.4, 0.3, 0.3]},
        {"num_drafts": 4096},
        {"num_drafts": "three"},
        {"requests": 0},
        {"model": "x" * 10_000},
        {"max_temperature": -1.0},
        {"floor": None},
    ],
)
async def test_what_is_no_baseline_is_counted_and_the_good_ones_serve(
    server: FakeServer, change: dict[str, object]
) -> None:
    one, bad = Proxy(server), learned("bad").to_dict() | change
    await write(server, "bad", msgspec.msgpack.encode(bad))
    await share(server, learned("good"))
    assert await one.sharing.look()
    assert one.taken == [["good"]]
    assert one.sharing.refused == 1


@pytest.mark.parametrize("value", [b"", b"nonsense", b"\xc1", msgspec.msgpack.encode([1, 2])])
async def test_garbage_leaves_what_was_known(server: FakeServer, value: bytes) -> None:
    one = Proxy(server)
    await write(server, "bad", value)
    assert not await one.sharing.look()
    assert (one.taken, one.sharing.refused) == ([], 1)


@pytest.mark.parametrize("key", [BASELINES, VERSION])
async def test_a_key_of_another_type_is_refused_once(server: FakeServer, key: str) -> None:
    client, one = FakeAsyncRedis(server=server), Proxy(server)
    await client.incr(VERSION)
    await client.delete(key)
    await client.rpush(key, "something else")
    for _ in range(3):
        assert not await one.sharing.look()
    assert one.sharing.refused == 1
    await client.delete(key)
    await share(server, learned("a"))
    assert await one.sharing.look()


async def test_far_too_many_are_refused(server: FakeServer) -> None:
    one, client = Proxy(server), FakeAsyncRedis(server=server)
    await client.hset(BASELINES, mapping={str(number): b"x" for number in range(1001)})
    await client.incr(VERSION)
    assert not await one.sharing.look()
    assert one.sharing.refused == 1


async def test_an_outage_leaves_what_was_known(server: FakeServer) -> None:
    one = Proxy(server)
    await share(server, learned("a"))
    await one.sharing.look()
    server.connected = False
    assert not await one.sharing.look()
    assert one.sharing.breaker.failures == 1
    server.connected = True
    assert not await one.sharing.look()
    assert one.taken == [["a"]]


def test_an_attempt_that_begins_later_is_held_to_the_new_one() -> None:
    """The panel's builder holds the library's place, not the library."""
    known = Learned()
    builder = PanelBuilder(ProxyConfig(replicas=("http://127.0.0.1:1",)), known)
    profile = EngineProfile("sglang", models=("m",), is_speculating=True, draft_tokens=3)
    call = parse_call(Route.CHAT, b'{"model": "m", "messages": []}')
    found: list[object] = []

    class Spy(BaselineLibrary):
        def find(self, *args: object) -> dict[int, AcceptanceBaseline]:
            found.append(args)
            return {}

    known.baselines = Spy()
    builder.build(profile, call, DraftState.UNKNOWN)
    assert found == [("m", "sglang", None)]


def test_nothing_can_be_shared_with_nobody() -> None:
    for url in (f"redis://127.0.0.1:{free_port()}/0", "http://127.0.0.1"):
        with pytest.raises(SharingFailed):
            publish(url, BaselineLibrary([learned("a")]))


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")
async def test_a_running_proxy_takes_what_calibrate_shares(tmp_path: Path) -> None:
    """A real Redis, the real command, a real proxy; one bad value beside it is counted."""
    recordings = tmp_path / "week.jsonl"
    steps = [2, 1, 3, 0, 2, 2, 1, 3] * 8
    record = {"text": "", "accepted_per_step": steps, "model": "m", "engine": "sglang"}
    lines = [json.dumps({"id": str(n), "num_drafts": 3, **record}) for n in range(60)]
    recordings.write_text("\n".join(lines))
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    redis = await start_redis(port, tmp_path)
    try:
        async with Stack() as stack, aiohttp.ClientSession() as session:
            address, behind = replica(tmp_path)
            front, serving = proxy(tmp_path, [address], "--redis", url)
            await start(stack, session, behind, serving)
            arguments = ["calibrate", str(recordings), "--redis", url]
            told = await asyncio.to_thread(CliRunner().invoke, app, arguments)
            assert told.exit_code == 0, told.output
            assert "shared 1 through Redis" in told.output
            log = tmp_path / "proxy.log"
            await until(log, "1 shared baselines in force")
            async with Redis.from_url(url) as client:
                await client.hset(BASELINES, "odd", b"nonsense")
                await client.incr(VERSION)
            await until(log, "a shared baseline is none")
            async with session.get(f"{front}/metrics") as response:
                assert "specwatch_baselines_refused_total 1.0" in await response.text()
    finally:
        redis.kill()
        await redis.wait()


async def until(log: Path, text: str) -> None:
    async with asyncio.timeout(15):
        while text not in await asyncio.to_thread(log.read_text):  # noqa: ASYNC110 (a log)
            await asyncio.sleep(0.05)
