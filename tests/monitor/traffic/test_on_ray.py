"""A replay over several workers: their protocol without Ray, and Ray itself where it is."""

import asyncio
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.traffic.desk import Desk, decode_result, share_of, work
from monitor.traffic.errors import RayUnavailable
from monitor.traffic.replay import merge
from monitor.traffic.request_body import Api, Asking
from monitor.traffic.schedule import Planned, split
from monitor.traffic.trace import TraceRequest
from monitor.traffic.worker import Job, Progress, total
from tests.fakes.target import Reply, Target

ROOT = Path(__file__).parents[3]


def job_of(target: Target, count: int = 12, gap: float = 0.05) -> Job:
    plan = [Planned(n, n * gap, TraceRequest(n * gap, 40 + n, 4)) for n in range(count)]
    return Job(target.address, Asking(api=Api.GENERATE), plan, 0.0, 5.0, max_in_flight=7)


class NearDesk:
    """The desk of this process, called as if it were far away."""

    def __init__(self, desk: Desk) -> None:
        self.arrive = NearMethod(desk.arrive)
        self.tell = NearMethod(desk.tell)


class NearMethod:
    def __init__(self, method: Any) -> None:
        self._method = method

    async def remote(self, *arguments: Any) -> Any:
        return self._method(*arguments)


async def start(desk: Desk, job: Job, workers: int) -> list["asyncio.Task[bytes]"]:
    """All workers at the desk; the job begins in a quarter of a second."""
    shares = [share_of(job, share, workers) for share in split(job.plan, workers)]
    tasks = [
        asyncio.create_task(work(number, msgspec.msgpack.encode(share), NearDesk(desk)))
        for number, share in enumerate(shares)
    ]
    async with asyncio.timeout(5):
        while desk.arrived() < workers:  # noqa: ASYNC110 (a desk is asked, it does not call)
            await asyncio.sleep(0.01)
    return tasks


async def test_workers_begin_together_and_keep_the_plan_s_times() -> None:
    """What two send together is what one would have sent."""
    async with Target() as target:
        job, desk = job_of(target), Desk()
        tasks = await start(desk, job, 2)
        begin = time.monotonic() + 0.25
        desk.start(time.time() + 0.25)
        done = merge([decode_result(one) for one in await asyncio.gather(*tasks)])
        came = sorted((one.prompt_tokens, one.at) for one in target.asked)
    assert [one.number for one in done.outcomes] == list(range(12))
    assert all(one.failure is None for one in done.outcomes)
    assert [tokens for tokens, _ in came] == [40 + n for n in range(12)]
    for number, (_, at) in enumerate(came):
        assert at - begin == pytest.approx(number * 0.05, abs=0.2)
    assert (
        total([msgspec.msgpack.decode(one, type=Progress) for one in desk.progress()]).failed == 0
    )


async def test_a_stop_at_the_desk_reaches_all_workers() -> None:
    async with Target(lambda _: Reply(seconds=60), calibrations=0) as target:
        job, desk = job_of(target), Desk()
        tasks = await start(desk, job, 3)
        desk.start(0.0)
        await asyncio.sleep(0.3)
        desk.stop()
        async with asyncio.timeout(5):
            done = merge([decode_result(one) for one in await asyncio.gather(*tasks)])
    assert len(done.outcomes) + done.unsent == 12
    assert all(one.failure is not None for one in done.outcomes)


def test_a_share_has_its_part_of_the_bound() -> None:
    job = Job("http://a", Asking(), [], 0.0, 1.0, max_in_flight=7)
    assert share_of(job, [], 3).max_in_flight == 2
    assert share_of(job, [], 9).max_in_flight == 1
    assert share_of(msgspec.structs.replace(job, max_in_flight=None), [], 3).max_in_flight is None


def test_progress_of_all_is_the_sum_and_the_longest_lag() -> None:
    parts = [Progress(1, 0, 1, 5, 0.5), Progress(2, 1, 0, 4, 0.1)]
    assert total(parts) == Progress(3, 1, 1, 9, 0.5)
    assert total([]) == Progress(0, 0, 0, 0, 0.0)


def test_without_ray_the_error_says_what_to_install(tmp_path: Path) -> None:
    """Whether or not it is installed here: the process is told that it is not."""
    trace = tmp_path / "trace.csv"
    trace.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,3,4\n")
    code = (
        "import sys; sys.modules['ray'] = None\n"
        "from monitor.traffic.errors import RayUnavailable\n"
        "try:\n    import monitor.traffic.on_ray\n"
        "except RayUnavailable as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout.strip() == "--ray needs Ray: pip install 'specwatch[ray]'"


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray's own
async def test_on_a_ray_of_this_machine() -> None:
    """All requests once, at their times, from two processes that are not this one."""
    from monitor.traffic.on_ray import LOCAL, run_on_ray  # noqa: PLC0415 (an extra)

    told: list[Progress] = []
    async with Target() as target:
        done = await run_on_ray(LOCAL, job_of(target, 40), 2, told.append, lambda: False)
        came = sorted((one.prompt_tokens, one.at) for one in target.asked)
    assert [one.number for one in done.outcomes] == list(range(40))
    assert all(one.failure is None for one in done.outcomes)
    assert [tokens for tokens, _ in came] == [40 + n for n in range(40)]
    first = came[0][1]
    assert all(at - first == pytest.approx(n * 0.05, abs=0.5) for n, (_, at) in enumerate(came))
    assert told


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
async def test_ctrl_c_reaches_the_workers_of_ray() -> None:
    from monitor.traffic.on_ray import LOCAL, run_on_ray  # noqa: PLC0415 (an extra)

    async with Target(lambda _: Reply(seconds=60), calibrations=0) as target:
        asked = target.asked
        done = await run_on_ray(
            LOCAL, job_of(target, 500), 2, lambda _: None, lambda: len(asked) > 6
        )
    assert len(done.outcomes) + done.unsent == 500
    assert done.unsent > 0


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")
async def test_no_cluster_at_the_address() -> None:
    from monitor.traffic.on_ray import run_on_ray  # noqa: PLC0415 (an extra)

    async with Target() as target:
        with pytest.raises(RayUnavailable, match="cannot be reached"):
            await run_on_ray("127.0.0.1:1", job_of(target), 2, lambda _: None, lambda: False)
