"""nginx and HAProxy in front of the real proxy; the unit file."""

import asyncio
import configparser
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from monitor.demo.process import Command, Stack
from tests.alerts.tools import tool
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import CHAT, request_body
from tests.fakes.script import Fault, Script
from tests.live.processes import free_port
from tests.monitor.test_serve import proxy, start

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = DEPLOY / "systemd" / "specwatch.service"


def nginx(folder: Path, front: str, port: int) -> list[str]:
    """With our file as it is, but for the addresses."""
    text = (DEPLOY / "edge" / "nginx.conf").read_text()
    ours = text.replace("listen 8080", f"listen 127.0.0.1:{port}")
    ours = ours.replace("127.0.0.1:30000", front.removeprefix("http://"))
    ours = ours.replace("    server 127.0.0.1:30010 max_fails=1 fail_timeout=5s;\n", "")
    places = " ".join(
        f"{name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = f"daemon off; pid {folder}/pid; error_log stderr; worker_processes 1; "
    whole += f"events {{}} http {{ access_log off; {places}\n{ours}\n}}"
    (folder / "nginx.conf").write_text(whole)
    return [tool("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def haproxy(folder: Path, front: str, port: int) -> list[str]:
    """The same."""
    text = (DEPLOY / "edge" / "haproxy.cfg").read_text()
    ours = text.replace("bind :8080", f"bind 127.0.0.1:{port}")
    ours = ours.replace("maxconn 4000", "maxconn 100")  # few files may be open here
    ours = ours.replace("127.0.0.1:30000", front.removeprefix("http://"))
    ours = ours.replace("    server two 127.0.0.1:30010\n", "")
    (folder / "haproxy.cfg").write_text(ours)
    return [tool("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]


EDGES = {"nginx": nginx, "haproxy": haproxy}


@asynccontextmanager
async def edge(name: str, folder: Path, engine: FakeEngine) -> AsyncIterator[tuple[str, Stack]]:
    """The address of an edge, the proxy and the engine behind it."""
    async with Stack() as stack, aiohttp.ClientSession() as session:
        front, serving = proxy(folder, [engine.address])
        await start(stack, session, serving)
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        command = EDGES[name](folder, front, port)
        log = folder / f"{name}.log"
        await start(stack, session, Command(name, command, f"{address}/ready", log))
        yield address, stack


@pytest.mark.parametrize("name", EDGES)
async def test_a_stream_comes_through_as_it_is_made(name: str, tmp_path: Path) -> None:
    """The first words arrive while the engine still waits for the test; then all of it."""
    async with FakeEngine(60) as engine, aiohttp.ClientSession() as session:
        engine.default = Script(Fault.NONE, pause_after=20)
        async with edge(name, tmp_path, engine) as (address, _), asyncio.timeout(60):
            body = request_body(CHAT)
            async with session.post(address + CHAT, json=body) as answer:
                assert answer.status == 200
                first = await answer.content.readuntil(b" w1")
                engine.resume.set()
                rest = await answer.content.read()
            assert b"[DONE]" not in first
            assert rest.rstrip().endswith(b"data: [DONE]")


@pytest.mark.parametrize("name", EDGES)
async def test_who_leaves_is_noticed_and_the_monitor_is_hidden(name: str, tmp_path: Path) -> None:
    """A client that leaves ends the generation; no spelling of a path leads to the monitor."""
    async with FakeEngine(60) as engine, aiohttp.ClientSession() as session:
        engine.default = Script(Fault.NONE, pause_after=20)
        async with edge(name, tmp_path, engine) as (address, _), asyncio.timeout(60):
            answer = await session.post(address + CHAT, json=request_body(CHAT))
            await answer.content.readuntil(b" w1")
            answer.close()
            await engine.wait_for(aborts=1)
            for path in HIDDEN:
                told = await get(address, path)
                assert b"specwatch_build_info" not in told, path
                assert b'"incidents"' not in told, path
                assert b"content-security-policy" not in told.lower(), path
                assert told.split()[1] in (b"400", b"404", b"207"), path  # 207: the fake engine's


HIDDEN = (
    "/metrics",
    "/%6detrics",
    "/api/incidents",
    "/API/incidents",
    "//api/incidents",
    "/%2fapi/incidents",
    "/%61pi/incidents",
    "/%61%70%69%2fincidents",
    "/api%2Fincidents",
    "/page",
    "/%70age/main.js",
)


async def get(address: str, path: str) -> bytes:
    """The whole answer to a path that is sent as it is written."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(address.rpartition(":")[2]))
    writer.write(f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


def test_the_unit_is_one_that_systemd_takes() -> None:
    """By systemd's own checks where they are; the points that matter in any case."""
    unit = configparser.RawConfigParser(strict=False, comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read(UNIT)
    service = unit["Service"]
    assert "specwatch serve" in service["ExecStart"]
    assert service["DynamicUser"] == service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert int(service["TimeoutStopSec"]) > 5 + 60
    analyze = shutil.which("systemd-analyze")
    if analyze is not None:
        command = [analyze, "security", "--offline=true", "--threshold=20", str(UNIT)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-500:] + done.stderr
        verify = [analyze, "verify", str(UNIT)]
        done = subprocess.run(verify, capture_output=True, text=True, check=False)
        assert "specwatch.service" not in done.stderr, done.stderr
