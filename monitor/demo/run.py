"""The course of the demo: start two replicas, ask without and with the proxy, tell the result."""

import asyncio
import contextlib
import secrets
import signal
import tempfile
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.text import Text

from monitor.demo.admin import (
    Drills,
    FaultPlan,
    choose_samples,
    get_json,
    metric_examples,
)
from monitor.demo.ask import Direct, Through
from monitor.demo.judge import Damage, Score, is_success, score
from monitor.demo.options import REPLICAS, DemoOptions, Launcher
from monitor.demo.phase import PhaseResult, Send, run_phase
from monitor.demo.process import Command, Stack, free_port
from monitor.demo.progress import PhaseBar, starting
from monitor.demo.report import results_table, sample_panels, sentence, where_next

REPLICA_READY_SECONDS = 900.0  # the first start fetches and converts the model
PROXY_READY_SECONDS = 60.0
# In turn, so many requests each. A new plan holds for generations that begin after it.
FAULT_PLANS = (FaultPlan("noise"), FaultPlan("zero_layers"))
REQUESTS_PER_PLAN = 4
SHOWN_METRICS = ("specwatch_requests_total", "specwatch_anomalies_total", "specwatch_retries_total")
SHOWN_ERRORS = 3
STATUS_BAD, STATUS_INTERRUPTED = 1, 130


def run(options: DemoOptions, launcher: Launcher | None = None) -> int:
    """The whole demo.

    Returns:
        The exit status: 0 if the protection held, 1 if not, 130 if it was interrupted.

    Raises:
        DemoFailed: a part did not start, or died.
    """
    console = Console()
    try:
        return asyncio.run(_until_signal(Demo(options, launcher or Launcher(), console).run()))
    except asyncio.CancelledError:
        console.print("Interrupted; every process was ended.")
        return STATUS_INTERRUPTED


async def _until_signal(work: Coroutine[None, None, int]) -> int:
    """Cancel ``work`` on the first signal. Later ones are ignored: the cleaning up must end."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if task.cancelling() == 0:
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop)
    return await task


class Demo:
    """One run of the demo. Acts; what the numbers mean is decided in ``judge.py``."""

    def __init__(self, options: DemoOptions, launcher: Launcher, console: Console) -> None:
        self.options = options
        self.launcher = launcher
        self.console = console
        self.admin_key = secrets.token_hex(16)

    async def run(self) -> int:
        """All of it, in order; every process is ended on the way out."""
        with tempfile.TemporaryDirectory(prefix="specwatch-demo-") as logs:
            async with Stack() as stack, aiohttp.ClientSession() as session:
                replicas = await self._start_replicas(stack, session, Path(logs))
                model = (await get_json(session, f"{replicas[0]}/v1/models"))["data"][0]["id"]
                drills = [Drills(session, address, self.admin_key) for address in replicas]
                direct = Direct(session, replicas, model, self.options)
                before = await self._phase("without", direct, drills, self.options.requests)
                proxy = await self._start_proxy(stack, session, Path(logs), replicas)
                through = Through(session, proxy, model, self.options)
                after = await self._phase("with specwatch", through, drills, len(before.answers))
                damages = await _all_damages(drills)
                scores = [score(one.answers, damages, one.seconds) for one in (before, after)]
                await self._report(session, proxy, scores, damages)
                self._show_errors(after)
                if self.options.keep:
                    # The signal that ends this is no interruption; the result stands.
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.Event().wait()
        return 0 if is_success(scores[1]) else STATUS_BAD

    async def _start_replicas(
        self, stack: Stack, session: aiohttp.ClientSession, logs: Path
    ) -> list[str]:
        addresses, commands = [], []
        for index in range(REPLICAS):
            port = free_port()
            addresses.append(f"http://127.0.0.1:{port}")
            commands.append(
                Command(
                    name=f"replica {index + 1}",
                    arguments=self.launcher.replica(self.options, port, self.admin_key),
                    ready_url=f"{addresses[-1]}/ready",
                    log=logs / f"replica-{index + 1}.log",
                )
            )
            await stack.start(commands[-1])
        for command in commands:
            with starting(self.console, command.name) as tell:
                await stack.wait_ready(command, session, REPLICA_READY_SECONDS, tell)
        return addresses

    async def _start_proxy(
        self, stack: Stack, session: aiohttp.ClientSession, logs: Path, replicas: Sequence[str]
    ) -> str:
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        command = Command(
            name="specwatch",
            arguments=self.launcher.proxy(self.options, port, replicas),
            ready_url=f"{address}/ready",
            log=logs / "specwatch.log",
        )
        with starting(self.console, command.name) as tell:
            await stack.start(command)
            await stack.wait_ready(command, session, PROXY_READY_SECONDS, tell)
        return address

    async def _phase(
        self, name: str, asker: "Direct | Through", drills: Sequence[Drills], count: int
    ) -> PhaseResult:
        """Ask with the first replica's faults on, kinds in turn; the other one stays healthy."""
        sick = drills[0]

        async def before_each(index: int) -> None:
            block, is_later = divmod(index, REQUESTS_PER_PLAN)
            if not is_later:
                plan = FAULT_PLANS[block % len(FAULT_PLANS)]
                await sick.plan(replace(plan, rate=self.options.fault_rate, seed=block))

        is_first = isinstance(asker, Direct)
        send: Send = asker.send
        with PhaseBar(self.console, name, count) as bar:
            result = await run_phase(
                send,
                count,
                self.options.concurrency,
                before_each,
                bar.ended,
                stop_after_seconds=self.options.phase_seconds if is_first else None,
            )
        await sick.stop()
        return result

    async def _report(
        self,
        session: aiohttp.ClientSession,
        proxy: str,
        scores: Sequence[Score],
        damages: Mapping[str, Damage],
    ) -> None:
        unprotected, protected = scores
        incidents = await get_json(session, f"{proxy}/api/incidents?limit=1000")
        async with session.get(f"{proxy}/metrics") as response:
            examples = metric_examples(await response.text(), SHOWN_METRICS)
        show = self.console.print
        show()
        show(results_table(unprotected, protected))
        show("What was stopped, for example:")
        show(sample_panels(choose_samples(incidents["incidents"], damages)))
        next_steps = where_next(proxy, incidents["count"], examples, self.options.keep)
        show(next_steps, soft_wrap=True)
        show(sentence(protected), soft_wrap=True)

    def _show_errors(self, phase: PhaseResult) -> None:
        for error in [answer.error for answer in phase.answers if answer.error][:SHOWN_ERRORS]:
            self.console.print(Text(f"an answer failed: {error}", style="red"))


async def _all_damages(drills: Sequence[Drills]) -> dict[str, Damage]:
    records = [damage for drill in drills for damage in await drill.damages()]
    return {damage.rid: damage for damage in records}
