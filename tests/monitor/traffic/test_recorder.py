"""What the proxy records: numbers, hashes, and not a word."""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from monitor.errors import MonitorError
from monitor.traffic.build import build_recorder
from monitor.traffic.collector import RecordCollector
from monitor.traffic.reading import read_lines
from monitor.traffic.recorder import Recorder, RecordOptions
from monitor.traffic.trace import Line
from retry_proxy.app import build_app
from retry_proxy.config import PanelName, ProxyConfig
from retry_proxy.fleet import Fleet
from tests.fakes.asgi_client import post
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import ALL_ROUTES, CHAT, request_body
from tests.fakes.script import Fault, Script
from tests.fakes.sink import RecordingSink

SECRET = "canary7f3a"


async def record(
    path: Path, engines: list[FakeEngine], requests: list[tuple[str, dict[str, Any]]]
) -> Recorder:
    """Sends requests through a recording proxy; waits until all is on the disk."""
    recorder = Recorder(RecordOptions(path, 10_000_000), RecordingSink())
    addresses = tuple(engine.address for engine in engines)
    config = ProxyConfig(replicas=addresses, panel=PanelName.PUBLISHED)
    fleet = Fleet(config, recorder)
    app = build_app(config, sink=recorder, fleet=fleet, call_sink=recorder)
    with recorder.running():
        async with app.router.lifespan_context(app):
            for route, body in requests:
                answer = await post(app, route, body)
                assert answer.status == 200
    return recorder


async def recorded(path: Path, *bodies: dict[str, Any]) -> list[Line]:
    """The lines of some chats with one healthy engine."""
    async with FakeEngine() as engine:
        await record(path, [engine], [(CHAT, body) for body in bodies])
    return list(read_lines(str(path)))


async def test_a_line_has_lengths_sampling_blocks_and_outcome(tmp_path: Path) -> None:
    body = request_body(CHAT, max_tokens=12) | {"temperature": 0.5, "top_k": 9, "stop": ["a", "b"]}
    (line,) = await recorded(tmp_path / "trace.jsonl", body)
    assert (line.output_length, line.max_tokens, line.stops) == (12, 12, 2)
    assert line.sampling == {"temperature": 0.5, "top_k": 9}
    assert (line.outcome, line.attempts, line.verdict) == ("clean", 1, None)
    assert (line.is_counted, line.input_length) == (True, 7)  # as the fake engine counts
    assert (line.route, line.model, line.is_streaming) == (CHAT, "fake-model", True)
    assert len(line.hash_ids) == 1


async def test_equal_prompts_have_equal_hashes_within_one_recording(tmp_path: Path) -> None:
    body = request_body(CHAT)
    other = body | {"messages": [{"role": "user", "content": "Something else."}]}
    first, second, third = await recorded(tmp_path / "one", body, body, other)
    assert first.hash_ids == second.hash_ids != third.hash_ids
    (again,) = await recorded(tmp_path / "two", body)
    assert again.hash_ids != first.hash_ids  # the salt was drawn anew


async def test_no_text_of_any_route_is_written(tmp_path: Path) -> None:
    """Prompts, answers, user names, stops, tools, names of sampling settings and of models."""
    path = tmp_path / "trace.jsonl"
    requests = []
    for route in ALL_ROUTES:
        for stream in (True, False):
            body = request_body(route, stream=stream) | {"user": SECRET, "rid": SECRET}
            body |= {"stop": SECRET, SECRET: 1, "metadata": {SECRET: SECRET}}
            holder = body.setdefault("sampling_params", {}) if route == "/generate" else body
            holder |= {"temperature": 0, SECRET: 3, "top_p": 1}
            for name in ("text", "prompt", "input"):
                if name in body:
                    body[name] = SECRET * 900
            if "messages" in body:
                body["messages"][0]["content"] = SECRET * 900
            requests.append((route, body))
    async with FakeEngine(60) as engine, FakeEngine(60) as other:
        engine.default = Script(Fault.LOW_ACCEPTANCE, word=SECRET)
        other.default = Script(word=SECRET, damaged_from=0)
        recorder = await record(path, [engine, other], requests)
    content = path.read_bytes()
    assert recorder.written == len(requests) == content.count(b"\n")
    assert SECRET.encode() not in content
    assert b"canary" not in content


async def test_a_model_s_name_is_a_client_s_text_until_a_replica_answered_for_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "trace.jsonl"
    recorder = Recorder(RecordOptions(path, 10_000_000), RecordingSink())
    async with FakeEngine() as engine:
        engine.default = Script(Fault.STATUS, status=400)
        config = ProxyConfig(replicas=(engine.address,))
        fleet = Fleet(config, recorder)
        app = build_app(config, sink=recorder, fleet=fleet, call_sink=recorder)
        with recorder.running():
            async with app.router.lifespan_context(app):
                await post(app, CHAT, request_body(CHAT) | {"model": SECRET})
    (line,) = read_lines(str(path))
    assert (line.outcome, line.model, line.is_counted) == ("rejected", None, False)


async def test_a_stopped_answer_names_its_verdict_and_attempts(tmp_path: Path) -> None:
    """The prompt is counted by an attempt from which nothing was released."""
    path = tmp_path / "trace.jsonl"
    async with FakeEngine(300) as sick, FakeEngine(300) as healthy:
        sick.default = Script(Fault.LOW_ACCEPTANCE)
        await record(path, [sick, healthy], [(CHAT, request_body(CHAT))])
    (line,) = read_lines(str(path))
    assert (line.outcome, line.verdict, line.attempts) == ("retried_clean", "garbled", 2)
    assert line.output_length == 300


async def test_a_full_disk_ends_the_recording_and_no_stream(tmp_path: Path) -> None:
    """It is counted, and ``/metrics`` says so."""
    path = tmp_path / "trace.jsonl"
    path.symlink_to("/dev/full")
    async with FakeEngine() as engine:
        recorder = await record(path, [engine], [(CHAT, request_body(CHAT))] * 3)
    assert not recorder.is_up
    registry = CollectorRegistry()
    registry.register(RecordCollector(recorder))
    told = generate_latest(registry).decode()
    assert "specwatch_record_up 0.0" in told


async def test_after_the_disk_refused_requests_are_counted_as_dropped(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.symlink_to("/dev/full")
    recorder = Recorder(RecordOptions(path, 100), RecordingSink())
    recorder.is_up = False
    async with FakeEngine() as engine:
        config = ProxyConfig(replicas=(engine.address,))
        fleet = Fleet(config, recorder)
        app = build_app(config, sink=recorder, fleet=fleet, call_sink=recorder)
        with recorder.running():
            async with app.router.lifespan_context(app):
                answer = await post(app, CHAT, request_body(CHAT))
    assert answer.status == 200
    assert recorder.dropped == {"stopped": 1}


async def test_what_passes_through_unwatched_is_counted_as_such(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    body = request_body("/generate", stream=False) | {"text": ["a", "b"]}
    async with FakeEngine() as engine:
        recorder = await record(path, [engine], [("/generate", body)])
    assert recorder.dropped == {"unwatched": 1}
    assert path.read_bytes() == b""


async def test_the_loop_does_not_wait_for_the_disk(tmp_path: Path) -> None:
    """A full pipe that nobody reads stands for a disk that hangs."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    recorder = Recorder(RecordOptions(path, 10_000_000), RecordingSink())
    filler = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(filler, b"x" * 4096)
    os.close(filler)
    async with FakeEngine() as engine:
        config = ProxyConfig(replicas=(engine.address,))
        fleet = Fleet(config, recorder)
        app = build_app(config, sink=recorder, fleet=fleet, call_sink=recorder)
        with recorder.running():
            async with app.router.lifespan_context(app):
                await post(app, CHAT, request_body(CHAT))
                await asyncio.sleep(1.2)  # the thread now hangs in its flush
                answer = await post(app, CHAT, request_body(CHAT))
                assert answer.status == 200
                os.close(reader)  # the disk is gone for good
    assert not recorder.is_up


@pytest.mark.parametrize(
    ("path", "salt", "message"),
    [
        ("no/such/trace.jsonl", None, "record: .*No such file"),
        (".", None, "record: .*directory"),
        ("trace.jsonl", b"short", "must hold 16 to 64 bytes, has 5"),
        ("trace.jsonl", b"x" * 65, "must hold 16 to 64 bytes, has 65"),
    ],
)
def test_what_cannot_be_recorded_to(
    tmp_path: Path, path: str, salt: bytes | None, message: str
) -> None:
    """Said before anything is served."""
    salt_file = None
    if salt is not None:
        (tmp_path / "salt").write_bytes(salt)
        salt_file = str(tmp_path / "salt")
    with pytest.raises(MonitorError, match=message):
        build_recorder(str(tmp_path / path), 1, salt_file, RecordingSink())


def test_a_kept_salt_joins_recordings_and_is_in_no_text(tmp_path: Path) -> None:
    salt_file = tmp_path / "salt"
    salt_file.write_bytes(b"0123456789abcdef\n")
    options = RecordOptions(tmp_path / "a", 1, salt=b"0123456789abcdef")
    assert "0123456789" not in repr(options)
    recorder = build_recorder(str(tmp_path / "a"), 1, str(salt_file), RecordingSink())
    assert recorder is not None
    with recorder.running():
        assert recorder.is_up
    assert build_recorder(None, 1, None, RecordingSink()) is None


def test_a_line_is_one_that_mooncake_s_readers_take(tmp_path: Path) -> None:
    line = Line(timestamp=3, input_length=4, output_length=5, hash_ids=[6], outcome="clean")
    assert list(msgspec.json.decode(msgspec.json.encode(line)))[:4] == [
        "timestamp",
        "input_length",
        "output_length",
        "hash_ids",
    ]
