"""The fleet: who is asked next, who is probed, and when."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from retry_proxy.errors import ConnectFailed
from retry_proxy.events import FleetTrouble, FleetTroubled, ReplicaState
from retry_proxy.fleet.pool import probe_delay
from tests.fakes.asgi_client import post, start
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import proxy_for, request_body, words
from tests.fakes.script import Fault, Script


def test_probes_back_off() -> None:
    delays = [probe_delay(n, first_seconds=1, longest_seconds=30) for n in (0, 1, 2, 3, 9, 5000)]
    assert delays == [0, 1, 2, 4, 30, 30]


async def test_requests_refused_side_by_side_are_one_refusal() -> None:
    """Twenty of them once pushed the next probe as far away as twenty refused probes."""
    async with FakeEngine() as one, proxy_for(one, probe_interval_seconds=60) as proxy:
        await post(proxy.app, "/generate", request_body("/generate"))
        await one.stop()
        body = request_body("/generate")
        await asyncio.gather(*(post(proxy.app, "/generate", body) for _ in range(20)))
        assert proxy.fleet._replicas[0].refusals == 1


async def test_load_spreads_evenly() -> None:
    async with FakeEngine() as one, FakeEngine() as two, proxy_for(one, two) as proxy:
        body = request_body("/generate")
        await asyncio.gather(*(post(proxy.app, "/generate", body) for _ in range(20)))
    assert len(one.generations) == len(two.generations) == 10


async def test_a_replica_that_is_back_is_found_by_probing() -> None:
    async with FakeEngine() as one, proxy_for(one, probe_interval_seconds=0.01) as proxy:
        await post(proxy.app, "/generate", request_body("/generate"))
        await one.stop()
        await post(proxy.app, "/generate", request_body("/generate"))
        assert proxy.fleet.snapshot()[0].state is ReplicaState.UNREACHABLE
        async with FakeEngine() as back:
            proxy.fleet._replicas[0].address = back.address
            await proxy.sink.wait_for_changes(2)
        assert [change.state for change in proxy.sink.changes] == [
            ReplicaState.UNREACHABLE,
            ReplicaState.HEALTHY,
        ]


async def test_a_port_that_answers_nothing_is_unreachable_not_unknown() -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    async with FakeEngine() as silent, FakeEngine() as healthy:
        silent.address = f"http://{host}:{port}"
        async with proxy_for(silent, healthy, probe_timeout_seconds=0.1) as proxy:
            with pytest.raises(ConnectFailed):
                await proxy.fleet.adapter(proxy.fleet._replicas[0])
            got = await post(proxy.app, "/generate", request_body("/generate"))
    server.close()
    await server.wait_closed()
    assert got.text() == words(40)


async def test_many_first_requests_probe_a_replica_once() -> None:
    async with FakeEngine() as one, proxy_for(one, probe_interval_seconds=60) as proxy:
        body = request_body("/generate")
        await asyncio.gather(*(post(proxy.app, "/generate", body) for _ in range(10)))
        assert sum(path == "/version" for _, path, _, _ in one.other_requests) == 1
        snapshot = proxy.fleet.snapshot()[0]
    assert (snapshot.engine, snapshot.models, snapshot.attempts) == ("sglang", ("fake-model",), 10)


async def test_a_crashing_detector_costs_the_client_nothing_and_is_counted() -> None:
    async with FakeEngine() as one, proxy_for(one) as proxy:
        proxy.fleet.note_detector_errors(["accept_length"])
        got = await start(proxy.app, "POST", "/generate", request_body("/generate")).finish()
        assert got.text() == words(40)
        assert proxy.fleet.detector_errors() == {"accept_length": 1}


async def test_a_sick_replica_is_quarantined_while_clients_get_whole_answers() -> None:
    async with AsyncExitStack() as stack:
        engines = [await stack.enter_async_context(FakeEngine()) for _ in range(4)]
        for engine in engines:
            engine.answer_tokens = 200
        engines[1].default = Script(Fault.LOW_ACCEPTANCE)
        proxy = await stack.enter_async_context(proxy_for(*engines))
        sick = engines[1].address
        body = request_body("/generate", max_tokens=300)
        answers = []
        while all(change.replica != sick for change in proxy.sink.changes):
            answers.append(await post(proxy.app, "/generate", body))
            assert len(answers) < 200
        before = len(engines[1].generations)
        answers += [await post(proxy.app, "/generate", body) for _ in range(20)]
    assert {answer.text() for answer in answers} == {words(200)}
    assert [change.state for change in proxy.sink.changes] == [ReplicaState.QUARANTINED]
    assert before <= 20
    assert len(engines[1].generations) == before


async def test_a_prompt_that_is_odd_everywhere_quarantines_nobody() -> None:
    async with FakeEngine() as one, FakeEngine() as two, FakeEngine() as three:
        engines = (one, two, three)
        for engine in engines:
            engine.answer_tokens = 200
            engine.default = Script(Fault.LOW_ACCEPTANCE)
        async with proxy_for(*engines) as proxy:
            for _ in range(30):
                await post(proxy.app, "/generate", request_body("/generate"))
    assert proxy.sink.changes == []
    assert [event.kind for event in proxy.sink.events if isinstance(event, FleetTroubled)] == [
        FleetTrouble.ALL_SICK
    ]


async def test_failures_in_a_row_trip_a_replica() -> None:
    async with FakeEngine() as sick, FakeEngine() as healthy:
        sick.default = Script(Fault.STATUS)
        async with proxy_for(sick, healthy) as proxy:
            for _ in range(40):
                got = await post(proxy.app, "/generate", request_body("/generate"))
                assert got.text() == words(40)
    assert [change.state for change in proxy.sink.changes] == [ReplicaState.TRIPPED]
    assert len(sick.generations) == 5
