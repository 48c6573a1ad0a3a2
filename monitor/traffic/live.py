"""A replay while it runs: its bar, and Ctrl-C. Chooses where it runs."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator

import msgspec
import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from monitor.traffic.replay import Replayed
from monitor.traffic.worker import Job, run_job
from monitor.traffic.worker import Progress as Told

_START_SECONDS = 0.2


class Stopper:
    """Ctrl-C: the first ends the replay with a report of what there is, the second ends all."""

    def __init__(self) -> None:
        self.is_stopping = False

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Takes SIGINT and SIGTERM meanwhile. In the running loop."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)

        def stop() -> None:
            self.is_stopping = True
            for number in numbers:
                loop.remove_signal_handler(number)

        for number in numbers:
            loop.add_signal_handler(number, stop)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


@contextlib.contextmanager
def bar(console: Console, total: int) -> Iterator[Callable[[Told], None]]:
    """Shows how far it is, on a terminal only."""
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("replaying"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[state]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
        task = progress.add_task("", total=total, state="")
        yield lambda told: progress.update(task, completed=told.ended, state=state_of(told))


def state_of(told: Told) -> str:
    """What the bar says beside the count."""
    words = [f"{told.in_flight:,} running"]
    if told.failed:
        words.append(f"{told.failed:,} failed")
    if told.flagged:
        words.append(f"{told.flagged:,} with a finding")
    if told.longest_lag_seconds > 0.1:
        words.append(f"{told.longest_lag_seconds:.1f} s behind")
    return ", ".join(words)


def run_here(job: Job, console: Console) -> Replayed:
    """In this process. ``job.start_at`` is set anew."""
    return uvloop.run(_run_here(job, console))


async def _run_here(job: Job, console: Console) -> Replayed:
    stopper = Stopper()
    with stopper.watching(), bar(console, len(job.plan)) as show:

        async def tell(told: Told) -> bool:
            show(told)
            return stopper.is_stopping

        return await run_job(starting_in(job, _START_SECONDS), tell)


def starting_in(job: Job, seconds: float) -> Job:
    """The job with its beginning a little ahead, so that its first requests are not late."""
    return msgspec.structs.replace(job, start_at=time.time() + seconds)


def run_with_ray(job: Job, console: Console, address: str, workers: int) -> Replayed:
    """On the workers of a Ray cluster.

    Raises:
        RayUnavailable: see ``on_ray``.
    """
    from monitor.traffic.on_ray import run_on_ray  # noqa: PLC0415 (an extra; only where asked for)

    async def run() -> Replayed:
        stopper = Stopper()
        with stopper.watching(), bar(console, len(job.plan)) as show:
            return await run_on_ray(address, job, workers, show, lambda: stopper.is_stopping)

    return asyncio.run(run())
