"""Incidents from a monitor, from Redis and from files; and what is said when there are none."""

import asyncio
import io
import json
import math
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakeredis import TcpFakeServer
from redis import Redis

from detectors.verdict import AnomalyKind
from monitor.errors import IncidentsUnavailable
from monitor.incidents.commands import tell_cut
from monitor.incidents.sources import MOST, FileSource, find_incident, open_source
from monitor.monitor import Monitor
from monitor.records import IncidentFilter
from monitor.store.redis import RedisStore, connect
from monitor.store.redis_records import incident_key
from tests.monitor.events import stopped, verdict
from tests.monitor.incidents.made import fill, incident_id, lines, made, serving

ANY = IncidentFilter()


async def test_a_running_monitor_tells_its_incidents() -> None:
    """With filters, newest first, and one by its id or the beginning of it."""
    monitor = Monitor()
    for number in range(3):
        fill(monitor, number)
    monitor.emit(stopped(9, verdict=verdict(kind=AnomalyKind.REPETITION, score=math.inf)))
    async with serving(monitor, admin_key="admin") as address:
        source = open_source(address, "admin")
        all_of_them = await asyncio.to_thread(source.incidents, ANY)
        some = await asyncio.to_thread(
            source.incidents, IncidentFilter(kind=AnomalyKind.GARBLED, limit=2)
        )
        one = await asyncio.to_thread(find_incident, source, incident_id(1))
        with pytest.raises(IncidentsUnavailable, match="4 incidents begin with 0000"):
            await asyncio.to_thread(find_incident, source, "0000")
        with pytest.raises(IncidentsUnavailable, match="no incident 'ff'"):
            await asyncio.to_thread(find_incident, source, "ff")
        with pytest.raises(IncidentsUnavailable, match=r"no incident '\.\./replicas'"):
            await asyncio.to_thread(find_incident, source, "../replicas")
        with pytest.raises(IncidentsUnavailable, match="needs the right --admin-key"):
            await asyncio.to_thread(open_source(address, "wrong").incidents, ANY)
    assert [one.id for one in all_of_them.incidents] == [incident_id(n) for n in (9, 2, 1, 0)]
    assert all_of_them.unreadable == 0, "an infinite score is null in JSON"
    assert [one.id for one in some.incidents] == [incident_id(2), incident_id(1)]
    assert one == await made(1)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("http://127.0.0.1:1", "cannot be reached: .*refused"),
        ("http://", "cannot be reached|not an address"),
        ("ftp://a/b", "neither http://, redis:// nor a file"),
        ("/nowhere/at/all.jsonl", "cannot read /nowhere/at/all.jsonl: No such file"),
        ("redis://127.0.0.1:1/0", "Redis cannot be read"),
        ("redis://127.0.0.1:port/0", "not a Redis address"),
    ],
)
def test_a_source_that_is_not_there_is_told_in_one_sentence(where: str, message: str) -> None:
    with pytest.raises(IncidentsUnavailable, match=message) as raised:
        open_source(where).incidents(ANY)
    assert "\n" not in str(raised.value)


async def test_another_server_on_the_port_is_told() -> None:
    """Something that answers, and is no monitor."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(IncidentsUnavailable, match="answers something else"):
        await asyncio.to_thread(open_source(f"http://127.0.0.1:{port}").incidents, ANY)
    server.close()
    await server.wait_closed()


async def test_a_redirect_does_not_get_the_key() -> None:
    """It was followed with the key, to whatever host it named."""
    heads: list[str] = []
    elsewhere = ""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
        head = f"HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n"
        writer.write(f"{head}connection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as first,
        await asyncio.start_server(answer, "127.0.0.1", 0) as other,
    ):
        elsewhere = f"http://127.0.0.1:{other.sockets[0].getsockname()[1]}/"
        where = f"http://127.0.0.1:{first.sockets[0].getsockname()[1]}"
        with pytest.raises(IncidentsUnavailable, match="answers 302"):
            await asyncio.to_thread(open_source(where, "secret").incidents, ANY)
    assert ["Bearer secret" in head for head in heads] == [True]


@pytest.mark.parametrize(
    ("where", "found", "limit", "is_told"),
    [
        ("http://a", MOST, MOST + 1, True),
        ("http://a", MOST, MOST, False),
        ("http://a", MOST - 1, MOST + 1, False),
        ("redis://a", MOST, MOST + 1, False),
    ],
)
def test_that_a_monitor_tells_no_more_is_said(
    where: str, found: int, limit: int, is_told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """A list that ends because the source does looks whole."""
    tell_cut(where, found, limit)
    assert ("newest 1,000" in capsys.readouterr().err) == is_told


async def test_a_file_of_lines_and_pages(tmp_path: Path) -> None:
    """Lines of several runs, a saved page, the answer about one, and what is none of them."""
    page = json.dumps({"count": 1, "incidents": [json.loads(await lines(3)), {"id": 5}]})
    single = json.dumps({"incident": json.loads(await lines(4)), "request": None})
    rest = f"\n{page}\n{single}\nnot json\n[1, 2]\n{{}}\n".encode()
    path = tmp_path / "incidents.jsonl"
    path.write_bytes(await lines(1, 2, 1) + rest + b"\xff\xfe\n" + b"[" * 100_000)
    loaded = FileSource(str(path)).incidents(ANY)
    assert [one.id for one in loaded.incidents] == [incident_id(n) for n in (4, 3, 2, 1)]
    assert loaded.unreadable == 6
    assert loaded.incidents[3] == await made(1), "nothing is lost on the way"
    some = FileSource(str(path)).incidents(IncidentFilter(since=1005.5, limit=1))
    assert [one.id for one in some.incidents] == [incident_id(4)]


async def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """From another command."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(await lines(1))))
    assert [one.id for one in open_source("-").incidents(ANY).incidents] == [incident_id(1)]


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A server that speaks Redis' protocol."""
    server = TcpFakeServer(("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"redis://127.0.0.1:{server.server_address[1]}/0"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def test_what_the_proxies_shared(redis_url: str) -> None:
    """Read without any proxy; what is no record is counted."""
    store = RedisStore(connect(redis_url))
    await store.start()
    for number in (1, 2):
        store.put_incident(await made(number))
    await store.written()
    await store.close()
    source = open_source(redis_url)
    loaded = await asyncio.to_thread(source.incidents, ANY)
    assert [one.id for one in loaded.incidents] == [incident_id(2), incident_id(1)]
    assert await asyncio.to_thread(find_incident, source, incident_id(1)) == await made(1)
    with Redis.from_url(redis_url) as client:
        client.set(incident_key(incident_id(2)), b"\xc1 not ours")
    assert (await asyncio.to_thread(source.incidents, ANY)).unreadable == 1
