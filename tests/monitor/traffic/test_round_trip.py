"""What a proxy recorded can be replayed to another, and looks alike there."""

import time
from pathlib import Path

from msgspec import structs

from monitor.traffic.reading import read_trace
from monitor.traffic.recorder import Recorder, RecordOptions
from monitor.traffic.report import report_of
from monitor.traffic.request_body import Api, Asking
from monitor.traffic.schedule import Planned, build_plan
from monitor.traffic.worker import Job, run_job
from retry_proxy.app import build_app
from retry_proxy.config import PanelName, ProxyConfig
from retry_proxy.fleet import Fleet
from tests.fakes.asgi_client import post
from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import CHAT, proxy_for, request_body
from tests.fakes.script import Fault, Script
from tests.fakes.served import served
from tests.fakes.sink import RecordingSink
from tests.fakes.target import Target


async def record(path: Path, count: int) -> None:
    """Chats with a common beginning of about 3,000 bytes."""
    recorder = Recorder(RecordOptions(path, 10_000_000), RecordingSink())
    async with FakeEngine(30) as engine:
        config = ProxyConfig(replicas=(engine.address,))
        fleet = Fleet(config, recorder)
        app = build_app(config, sink=recorder, fleet=fleet, call_sink=recorder)
        with recorder.running():
            async with app.router.lifespan_context(app):
                for number in range(count):
                    body = request_body(CHAT, max_tokens=20 + number) | {"temperature": 0.5}
                    body["messages"][0]["content"] = "s" * 3000 + str(number)
                    await post(app, CHAT, body)


async def test_a_recording_is_replayed_with_its_lengths_prefixes_and_settings(
    tmp_path: Path,
) -> None:
    path = tmp_path / "trace.jsonl.gz"
    await record(path, 5)
    requests = read_trace([str(path)])
    plan = build_plan(requests)
    async with Target(calibrations=0) as target:
        job = Job(target.address, Asking(api=Api.GENERATE), plan, time.time() + 0.1, 5.0)
        done = await run_job(job)
        asked = target.asked
    assert report_of(plan, done).answered == 5
    lengths = [one.body["sampling_params"]["max_new_tokens"] for one in asked]
    assert lengths == [20, 21, 22, 23, 24]
    assert all(one.body["sampling_params"]["temperature"] == 0.5 for one in asked)
    assert [one.prompt_tokens for one in asked] == [one.input_tokens for one in requests]
    assert len({one.blocks[0] for one in requests}) == 1
    assert len({one.blocks[1] for one in requests}) == 5


async def test_a_replay_through_the_proxy_tells_of_what_it_marked(tmp_path: Path) -> None:
    """Both replicas are sick: the last attempt is let through, with a comment at its end."""
    path = tmp_path / "trace.jsonl"
    await record(path, 4)
    plan = build_plan(read_trace([str(path)]), speed=100)
    async with FakeEngine(400) as one, FakeEngine(400) as other:
        one.default = other.default = Script(Fault.LOW_ACCEPTANCE)
        async with proxy_for(one, other, panel=PanelName.PUBLISHED) as proxy, served(proxy) as url:
            asking = Asking(api=Api.CHAT, model="fake-model")
            long = [_longer(planned) for planned in plan]
            done = await run_job(Job(url, asking, long, time.time(), 20.0))
    report = report_of(long, done)
    assert (report.answered, report.any_anomaly.count) == (4, 4)
    assert report.anomalies["garbled"].count == 4


def _longer(planned: Planned) -> Planned:
    request = structs.replace(planned.request, output_tokens=300)
    return structs.replace(planned, request=request)
