"""``specwatch serve`` as a process, in front of a replica without a model."""

import asyncio
import json
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from monitor.demo.process import Command, Stack, free_port

ROOT = Path(__file__).parents[2]
FAKE_REPLICA = ROOT / "tests" / "fakes" / "replica.py"
READY_SECONDS = 30.0


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as made:
        yield made


@pytest.fixture
async def stack() -> AsyncIterator[Stack]:
    async with Stack() as made:
        yield made


def replica(folder: Path) -> tuple[str, Command]:
    """A fake replica: its address and how to start it."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    arguments = [sys.executable, str(FAKE_REPLICA), "--port", str(port)]
    return address, Command("replica", arguments, f"{address}/ready", folder / "replica.log")


def proxy(folder: Path, replicas: list[str], *flags: str) -> tuple[str, Command]:
    """The proxy: its address and how to start it."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    arguments = [sys.executable, "-m", "monitor", "serve", "--port", str(port)]
    arguments += ["--lame-duck-seconds", "0", *flags]
    for one in replicas:
        arguments += ["--replica", one]
    return address, Command("proxy", arguments, f"{address}/ready", folder / "proxy.log")


async def start(stack: Stack, session: aiohttp.ClientSession, *commands: Command) -> None:
    """Start and wait."""
    for command in commands:
        await stack.start(command)
        await stack.wait_ready(command, session, READY_SECONDS, lambda _line: None)


def chat(max_tokens: int) -> dict[str, Any]:
    """A streamed chat."""
    messages = [{"role": "user", "content": "hello"}]
    return {"model": "fake", "messages": messages, "max_tokens": max_tokens, "stream": True}


async def test_sigterm_lets_running_answers_end(
    stack: Stack, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """The stream comes to its [DONE], and the process ends with status 0."""
    address, behind = replica(tmp_path)
    front, serving = proxy(tmp_path, [address])
    await start(stack, session, behind, serving)
    url = f"{front}/v1/chat/completions"
    async with session.post(url, json=chat(max_tokens=600)) as response:
        await response.content.readline()
        stack.child("proxy").send_signal(signal.SIGTERM)
        body = await response.text()
    assert body.rstrip().endswith("data: [DONE]")
    assert await stack.child("proxy").wait() == 0


async def streamed(session: aiohttp.ClientSession, front: str, max_tokens: int) -> bool:
    """A chat on a connection of its own came to its end."""
    url, headers = f"{front}/v1/chat/completions", {"connection": "close"}
    async with session.post(url, json=chat(max_tokens), headers=headers) as response:
        told = await response.text()
        is_whole = response.status == 200 and told.rstrip().endswith("[DONE]")
        assert is_whole, f"{response.status}: {told[-300:]}"
        return True


async def wait_for_streams(session: aiohttp.ClientSession, front: str, count: int) -> None:
    """Until so many attempts run."""
    async with asyncio.timeout(READY_SECONDS):
        while True:
            async with session.get(f"{front}/api/replicas") as response:
                told = json.loads(await response.text())["replicas"]
            if sum(one["in_flight"] for one in told) >= count:
                return
            await asyncio.sleep(0.05)


async def wait_until_refused(session: aiohttp.ClientSession, front: str) -> None:
    """Until no connection is taken."""
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                await streamed(session, front, 20)
            except aiohttp.ClientConnectionError:
                return


async def test_a_drain_refuses_nobody_and_cuts_no_stream(stack: Stack, tmp_path: Path) -> None:
    """``/ready`` says no first; what runs, and what comes in the meantime, is served to its end."""
    address, behind = replica(tmp_path)
    # The replica writes as fast as it can: a busy machine may take long for a connection.
    patience = ["--connect-timeout-seconds", "60"]
    front, serving = proxy(tmp_path, [address], "--lame-duck-seconds", "10", *patience)
    late: list[asyncio.Task[bool]] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await start(stack, session, behind, serving)
        running = [asyncio.create_task(streamed(session, front, 3000)) for _ in range(50)]
        await wait_for_streams(session, front, 50)
        stack.child("proxy").send_signal(signal.SIGTERM)
        asked_until = time.monotonic() + 3
        while time.monotonic() < asked_until and len(late) < 20:
            late.append(asyncio.create_task(streamed(session, front, 20)))
            async with session.get(f"{front}/ready") as response:
                assert response.status == 503
                assert response.headers["connection"] == "close", "the next one goes elsewhere"
                assert json.loads(await response.text())["draining"] is True
            await asyncio.sleep(0.1)
        assert sum(await asyncio.gather(*running)) == 50
        assert sum(await asyncio.gather(*late)) == len(late) > 0
    assert await stack.child("proxy").wait() == 0


async def test_an_interrupt_does_not_wait_and_the_second_signal_ends_all(
    stack: Stack, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Nobody new is taken after the first; the stream is cut by the second."""
    address, behind = replica(tmp_path)
    front, serving = proxy(tmp_path, [address], "--lame-duck-seconds", "60")
    await start(stack, session, behind, serving)
    stream = asyncio.create_task(streamed(session, front, 10**6))
    await wait_for_streams(session, front, 1)
    stack.child("proxy").send_signal(signal.SIGINT)
    await wait_until_refused(session, front)
    assert not stream.done()
    stack.child("proxy").send_signal(signal.SIGTERM)
    with pytest.raises(aiohttp.ClientError):
        await stream
    async with asyncio.timeout(READY_SECONDS):
        assert await stack.child("proxy").wait() == 0


async def test_a_request_is_seen_by_the_monitor(
    stack: Stack, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Metrics, replicas and the request's own story; Redis is away and nobody notices."""
    address, behind = replica(tmp_path)
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    front, serving = proxy(tmp_path, [address], "--redis", nobody)
    await start(stack, session, behind, serving)
    async with session.post(f"{front}/v1/chat/completions", json=chat(60)) as response:
        assert response.status == 200
        request_id = response.headers["x-specwatch-request-id"]
        assert "[DONE]" in await response.text()
    async with session.get(f"{front}/api/requests/{request_id}") as response:
        record = await response.json()
    assert record["outcome"] == "clean"
    assert [one["rid"] for one in record["attempts"]] == [f"{request_id}01"]
    async with session.get(f"{front}/metrics") as response:
        exposition = await response.text()
    assert 'specwatch_requests_total{model="fake",outcome="clean"} 1.0' in exposition
    async with session.get(f"{front}/api/replicas") as response:
        replicas = json.loads(await response.text())["replicas"]
    assert [(one["address"], one["engine"]) for one in replicas] == [(address, "sglang")]


async def test_two_processes_share_a_port(
    stack: Stack, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """One leaves, the other one serves all: neither has the port to itself."""
    address, behind = replica(tmp_path)
    front, serving = proxy(tmp_path, [address], "--share-port")
    twin = replace(serving, name="twin", log=tmp_path / "twin.log")
    await start(stack, session, behind, serving, twin)
    async with asyncio.timeout(READY_SECONDS):
        while b"startup complete" not in await asyncio.to_thread(twin.log.read_bytes):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert all(await asyncio.gather(*(streamed(session, front, 20) for _ in range(40))))
    stack.child("proxy").send_signal(signal.SIGTERM)
    assert await stack.child("proxy").wait() == 0
    assert all(await asyncio.gather(*(streamed(session, front, 20) for _ in range(20))))
    assert stack.child("twin").returncode is None


async def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    """One line in the log and a bad status, not a hang."""
    listener = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = str(listener.sockets[0].getsockname()[1])
    arguments = ["-m", "monitor", "serve", "--port", port, "--replica", "http://127.0.0.1:9"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    listener.close()
    assert process.returncode not in (0, None)
    assert b"address already in use" in output


async def test_replicas_are_added_by_a_file_and_by_order(
    stack: Stack, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """SIGHUP reads the file at once; an order needs the key; both are asked from then on."""
    first, behind = replica(tmp_path)
    listing = tmp_path / "replicas.yaml"
    listing.write_text(f"replicas: [{first}]")
    flags = ["--replicas-file", str(listing), "--source-interval-seconds", "600"]
    front, serving = proxy(tmp_path, [], *flags, "--admin-key", "secret")
    await start(stack, session, behind, serving)
    listing.write_text("replicas: [http://127.0.0.1:9, http://169.254.169.254]")
    stack.child("proxy").send_signal(signal.SIGHUP)
    orders, body = f"{front}/api/replicas", {"address": first}
    async with session.post(orders, json=body) as response:
        assert response.status == 401
    states: dict[str, str] = {}
    key = {"authorization": "Bearer secret"}
    async with asyncio.timeout(READY_SECONDS):
        while "http://127.0.0.1:9" not in states or first in states:
            async with session.get(orders, headers=key) as response:
                told = json.loads(await response.text())["replicas"]
            states = {one["address"]: one["state"] for one in told}
            await asyncio.sleep(0.05)
    async with session.post(orders, json=body, headers=key) as response:
        assert response.status == 204
    async with session.post(f"{front}/v1/chat/completions", json=chat(60)) as response:
        assert "[DONE]" in await response.text()
    async with session.get(f"{front}/metrics", headers=key) as response:
        exposition = await response.text()
    assert 'specwatch_fleet_troubles_total{kind="address_refused"} 1.0' in exposition


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")
async def test_two_proxies_share_a_quarantine_and_outlive_redis(
    stack: Stack, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """A real Redis, killed and started again; no request notices."""
    first, one = replica(tmp_path)
    second, two = replica(tmp_path)
    redis_port = free_port()
    store = f"redis://127.0.0.1:{redis_port}/0"
    fronts = [proxy(tmp_path, [first, second], "--redis", store) for _ in range(2)]
    given = (one, two, *(command for _, command in fronts))
    commands = [replace(command, name=f"{n}-{command.name}") for n, command in enumerate(given)]
    redis = await start_redis(redis_port, tmp_path)
    try:
        await start(stack, session, *commands)
        (here, _), (there, _) = fronts
        await order(session, here, "quarantine", first)
        await wait_for_state(session, there, first, "quarantined")
        redis.kill()
        await redis.wait()
        for front in (here, there):
            async with session.post(f"{front}/v1/chat/completions", json=chat(60)) as response:
                assert "[DONE]" in await response.text()
        await wait_for_state(session, there, first, "quarantined")
        redis = await start_redis(redis_port, tmp_path)
        await order(session, here, "release", first)
        await wait_for_state(session, there, first, "healthy")
    finally:
        redis.kill()
        await redis.wait()


async def start_redis(port: int, folder: Path) -> asyncio.subprocess.Process:
    """A server that keeps nothing on disk."""
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = await asyncio.create_subprocess_exec(
        "redis-server", *options, cwd=folder, stdout=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(READY_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
            else:
                writer.close()
                await writer.wait_closed()
                return process


async def order(session: aiohttp.ClientSession, front: str, what: str, address: str) -> None:
    """As an operator on this machine."""
    async with session.post(f"{front}/api/replicas/{what}", json={"address": address}) as response:
        assert response.status == 204


async def wait_for_state(
    session: aiohttp.ClientSession, front: str, address: str, state: str
) -> None:
    """Until a proxy has a replica in a state."""
    async with asyncio.timeout(10):
        while True:
            async with session.get(f"{front}/api/replicas") as response:
                told = json.loads(await response.text())["replicas"]
            if {one["address"]: one["state"] for one in told}[address] == state:
                return
            await asyncio.sleep(0.05)
