"""A drill over the real proxy and replicas that speak the backend's fault API."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from typer.testing import CliRunner

from monitor.addresses import is_loopback
from monitor.cli import app
from monitor.demo.process import Command, Stack
from monitor.drill.chain import ALWAYS, Chain, Link, Seen, wanted_links
from monitor.drill.run import DrillOptions, drill
from monitor.drill.targets import Alertmanager, Backend, Prometheus, Proxy
from monitor.errors import DrillFailed
from tests.fakes.engine import FakeEngine
from tests.monitor.drill.alarms import FakeAlarms, serving
from tests.monitor.test_serve import proxy, replica, start

KEY = "drill"
ALL = (*ALWAYS, Link.SCRAPED, Link.FIRING, Link.NOTIFIED)


@dataclass
class Ground:
    """Where drills take place: a proxy, two replicas, alarms."""

    options: DrillOptions
    alarms: FakeAlarms
    stack: Stack
    session: aiohttp.ClientSession

    async def faults(self) -> dict[str, Any]:
        """What the replica says of its faults."""
        url = f"{self.options.backend}/faults"
        async with self.session.get(url, headers={"authorization": f"Bearer {KEY}"}) as answer:
            content: dict[str, Any] = await answer.json()
            return content

    async def run(self, **changes: Any) -> tuple[Chain, list[Seen]]:
        """One drill, and what it told meanwhile."""
        told: list[Seen] = []
        return await drill(replace(self.options, **changes), told.append), told


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    async with standing(tmp_path) as made:
        yield made


@asynccontextmanager
async def standing(folder: Path) -> AsyncIterator[Ground]:
    """Everything up."""
    alarms = FakeAlarms()
    async with Stack() as stack, aiohttp.ClientSession() as session, serving(alarms) as address:
        commands: list[Command] = []
        addresses: list[str] = []
        for name in ("ill", "well"):
            where, command = replica(folder)
            arguments = [*command.arguments, "--admin-key", KEY]
            log = folder / f"{name}.log"
            commands.append(replace(command, name=name, arguments=arguments, log=log))
            addresses.append(where)
        flags = ["--panel", "published", "--accept-length-after-tokens", "40"]
        front, serving_command = proxy(folder, addresses, *flags)
        alarms.proxy = front
        await asyncio.gather(*(start(stack, session, one) for one in commands))
        await start(stack, session, serving_command)
        options = DrillOptions(
            front, addresses[0], KEY, prometheus=address, alertmanager=address, timeout_seconds=60
        )
        yield Ground(options, alarms, stack, session)


async def test_the_whole_chain(ground: Ground) -> None:
    """Each link once, in time; the fault is off at the end."""
    chain, told = await ground.run()
    assert chain.missing == []
    assert {one.link for one in told} == set(ALL)
    assert len(told) == len(ALL)
    seconds = chain.seen
    assert seconds[Link.DETECTED].seconds <= seconds[Link.STORED].seconds
    assert seconds[Link.FIRING].detail == "ReplicaAnomalyOutlier"
    assert all(0 <= one.seconds < 60 for one in told)
    faults = await ground.faults()
    assert faults["plan"] is None
    assert faults["records"]


async def test_an_alert_that_does_not_come_is_missing(ground: Ground) -> None:
    """One that fired before proves nothing, nor does one that always fires, here a little later."""
    ground.alarms.is_deaf = True
    ground.alarms.old = [{"alertname": "RetryStorm", "severity": "page"}]
    ground.alarms.late = [{"alertname": "Watchdog", "severity": "none"}]
    chain, _ = await ground.run(timeout_seconds=6)
    assert chain.missing == [Link.FIRING, Link.NOTIFIED]
    assert (await ground.faults())["plan"] is None


async def test_a_fault_that_is_on_already_is_somebody_elses(ground: Ground) -> None:
    """It is left on."""
    url = f"{ground.options.backend}/faults"
    plan = {"kind": "noise", "rate": 0.5, "after_tokens": 5}
    headers = {"authorization": f"Bearer {KEY}"}
    async with ground.session.post(url, json=plan, headers=headers) as answer:
        assert answer.status == 200
    with pytest.raises(DrillFailed, match="on already"):
        await ground.run()
    assert (await ground.faults())["plan"] == plan


@pytest.mark.parametrize(
    "page", ["{}", "[]", "<html>", "null", "\xff", '{"data": {"result": [{}]}}']
)
async def test_a_target_that_is_something_else_is_told(page: str) -> None:
    """Two addresses that were mixed up ended the drill with a traceback."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=page.encode("latin-1"))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with serving_app(app) as address, aiohttp.ClientSession() as session:
        backend, proxy = Backend(session, "backend", address), Proxy(session, "proxy", address)
        prometheus = Prometheus(session, "Prometheus", address)
        looks: list[Callable[[], Awaitable[object]]] = [
            backend.check,
            backend.damaged,
            proxy.replicas,
            lambda: proxy.incidents("a"),
            lambda: prometheus.anomalies("a"),
            prometheus.firing,
        ]
        if page != "[]":  # no alerts
            looks.append(Alertmanager(session, "Alertmanager", address).active)
        for look in looks:
            with pytest.raises(DrillFailed, match=r"not what a|no `specwatch backend`"):
                await look()


async def test_what_is_no_drill_backend_is_refused(ground: Ground) -> None:
    """An engine of another kind, one behind no proxy, a wrong key, nobody."""
    async with FakeEngine(is_stock=True) as stock:
        with pytest.raises(DrillFailed, match="no `specwatch backend`"):
            await ground.run(backend=stock.address)
    with pytest.raises(DrillFailed, match="alone"):
        await ground.run(backend="http://127.0.0.1:9")
    with pytest.raises(DrillFailed, match="401"):
        await ground.run(backend_key="wrong")
    with pytest.raises(DrillFailed, match="does not know"):
        await ground.run(replica="http://10.0.0.1:1")
    faults = await ground.faults()
    assert (faults["plan"], faults["records"]) == (None, [])


@asynccontextmanager
async def serving_app(app: web.Application) -> AsyncIterator[str]:
    """The address of an application."""
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def slow_to_heal(ground: Ground) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """The ill replica by another address, where switching off takes a moment; and when it began."""
    has_begun = asyncio.Event()

    async def pass_on(request: web.Request) -> web.Response:
        body = await request.read()
        if request.method == "POST" and json.loads(body)["kind"] is None:
            has_begun.set()
            await asyncio.sleep(0.5)
            if request.transport is None or request.transport.is_closing():
                return web.Response(status=499)  # who ordered it is gone
        url = f"{ground.options.backend}{request.path}"
        headers = {"authorization": request.headers["authorization"]}
        async with ground.session.request(request.method, url, data=body, headers=headers) as told:
            return web.Response(status=told.status, body=await told.read())

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", pass_on)
    async with serving_app(app) as address:
        yield address, has_begun


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_whoever_stops_it_leaves_no_fault(ground: Ground, number: signal.Signals) -> None:
    """Nor does who is in a hurry: a second signal ended the switching off, and was told that the
    fault is off.
    """
    options = ground.options
    ground.alarms.is_deaf = True
    command = [sys.executable, "-m", "monitor", "drill", "--proxy", options.proxy]
    command += ["--backend-key", KEY, "--replica", options.backend]
    command += ["--prometheus", str(options.prometheus)]
    async with slow_to_heal(ground) as (backend, has_begun):
        child = await asyncio.create_subprocess_exec(
            *command, "--backend", backend, stdout=asyncio.subprocess.PIPE, start_new_session=True
        )
        try:
            assert child.stdout is not None
            async with asyncio.timeout(30):
                while Link.STORED.value not in (await child.stdout.readline()).decode():
                    assert child.returncode is None
            assert (await ground.faults())["plan"] is not None
            child.send_signal(number)
            async with asyncio.timeout(30):
                await has_begun.wait()
                child.send_signal(number)
                assert await child.wait() == 130
        finally:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    assert (await ground.faults())["plan"] is None


def test_elsewhere_it_wants_to_be_sure() -> None:
    """And addresses are addresses."""
    base = ["drill", "--backend-key", KEY, "--backend", "http://127.0.0.1:9", "--proxy"]
    elsewhere = CliRunner().invoke(app, [*base, "http://192.0.2.7:30000"])
    assert elsewhere.exit_code == 2
    assert "--yes" in elsewhere.output
    odd = CliRunner().invoke(app, [*base, "localhost:30000"])
    assert odd.exit_code == 2
    assert "not an address" in odd.output


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("localhost", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost.example.com", False),
        ("0.0.0.0", False),
        ("127.0.0.1.nip.example", False),
    ],
)
def test_this_machine(host: str, is_here: bool) -> None:
    assert is_loopback(host) == is_here


def test_links_that_cannot_be_seen_are_not_waited_for() -> None:
    assert wanted_links(has_prometheus=False, has_alertmanager=False) == ALWAYS
    assert wanted_links(has_prometheus=True, has_alertmanager=True) == ALL


def test_a_link_counts_once() -> None:
    chain = Chain(ALWAYS, began_at=10.0)
    assert chain.note(Link.STORED, 12.0, "first")
    assert not chain.note(Link.STORED, 13.0, "second")
    assert chain.seen[Link.STORED] == Seen(Link.STORED, 2.0, "first")
    assert Link.STORED not in chain.missing
    assert not chain.lacks(Link.FIRING)
