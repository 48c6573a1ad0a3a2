"""Runs the cells of an ablation one after the other. Waits; counts nothing itself."""

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import msgspec

from monitor.ablation.arrivals import Shape, build_requests
from monitor.ablation.errors import FleetFailed
from monitor.ablation.fleet import Fleet, Launch, started
from monitor.ablation.grid import Cell
from monitor.ablation.listening import Listeners
from monitor.ablation.progress import Progress
from monitor.ablation.tally import Tally
from monitor.beside import beside
from monitor.traffic.errors import BadTarget
from monitor.traffic.replay import Replay
from monitor.traffic.request_body import Api, Asking
from monitor.traffic.schedule import Planned
from monitor.traffic.sender import HttpSender
from monitor.traffic.target import ask_target
from retry_proxy.engines.adapter import EngineProfile
from retry_proxy.engines.detect import describe

_POLL_SECONDS = 0.1
_START_SECONDS = 0.2
_WARM_UPS = 6  # a cold engine is later than its budget, and gives up
_INFO_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How each cell is asked.

    Attributes:
        requests: of each cell, over all rounds.
        rounds: the cells take turns this often, so that a machine that slows down harms all.
        corpus: words of a text to cut the prompts from; common words at random without.
        timeout_seconds: for one answer.
        start_seconds: for an engine to be ready.
    """

    requests: int = 200
    rounds: int = 1
    seed: int = 1
    shape: Shape = field(default_factory=Shape)
    corpus: tuple[str, ...] = ()
    timeout_seconds: float = 120.0
    start_seconds: float = 300.0

    def round_sizes(self) -> list[int]:
        """Requests of a cell in each round; their sum is ``requests``."""
        edges = [self.requests * number // self.rounds for number in range(self.rounds + 1)]
        return [end - start for start, end in itertools.pairwise(edges) if end > start]


class _Interrupted(Exception):
    """Ctrl-C while an engine starts."""


class Ablation:
    """One run.

    Attributes:
        tallies: of each cell; they hold what there is, also after an error.
        is_stopping: nothing more is sent.
    """

    def __init__(
        self, cells: Sequence[Cell], options: RunOptions, launch: Launch, progress: Progress
    ) -> None:
        self._options, self._launch, self._progress = options, launch, progress
        self.tallies = {cell: Tally(cell) for cell in cells}
        self.is_stopping = False

    async def run(self) -> None:
        """All rounds. The first Ctrl-C (or SIGTERM) ends it early, the second at once.

        Raises:
            FleetFailed: an engine did not start, or ended by itself.
            BadTarget: an engine answered no warm-up.
            asyncio.CancelledError: the second signal.
        """
        with self._signals():
            for number, size in enumerate(self._options.round_sizes()):
                cells = list(self.tallies)
                for cell in cells if number % 2 == 0 else reversed(cells):
                    if self.is_stopping:
                        return
                    await self._one(cell, number, size)

    async def _one(self, cell: Cell, number: int, size: int) -> None:
        seed = self._options.seed + number
        plan = build_requests(cell.load, self._options.shape, size, seed)
        self._progress.begin(cell, size)
        with contextlib.suppress(_Interrupted):
            async with started(
                cell, self._launch, self._options.start_seconds, self._starting
            ) as fleet:
                asking, profile = await self._warmed_up(fleet, seed)
                await self._send(fleet, plan, asking, profile, self.tallies[cell])
        self._progress.end(self.tallies[cell])

    def _starting(self, line: str) -> None:
        if self.is_stopping:
            raise _Interrupted
        self._progress.starting(line)

    async def _warmed_up(self, fleet: Fleet, seed: int) -> tuple[Asking, EngineProfile]:
        """How to ask it, found out with requests that are none of the run."""
        wanted = Asking(corpus=self._options.corpus, seed=f"ablate/{seed}")
        seconds = self._options.timeout_seconds
        for left in reversed(range(_WARM_UPS)):
            self._starting("first requests")
            try:
                asking = await ask_target(fleet.address, Api.GENERATE_TEXT, wanted, None, seconds)
                break
            except BadTarget:
                fleet.check()
                if not left:
                    raise
        profile = await profile_of(fleet.address)
        return msgspec.structs.replace(asking, asks_sanitizer=True), profile

    async def _send(
        self,
        fleet: Fleet,
        plan: list[Planned],
        asking: Asking,
        profile: EngineProfile,
        tally: Tally,
    ) -> None:
        listeners = Listeners(profile)
        seconds = self._options.timeout_seconds
        async with HttpSender(fleet.address, asking, None, seconds, listeners.listen) as sender:
            replay = Replay(plan, sender.send, on_outcome=self._progress.ended)
            async with self._watching(fleet, replay):
                replayed = await replay.run(time.monotonic() + _START_SECONDS)
        tally.add(len(plan), replayed.outcomes, listeners.verdicts())
        if not self.is_stopping:
            fleet.check()

    @contextlib.asynccontextmanager
    async def _watching(self, fleet: Fleet, replay: Replay) -> AsyncIterator[None]:
        """Stops the replay when we are stopped, or the engine is gone."""

        async def watch() -> None:
            while not self.is_stopping:
                await asyncio.sleep(_POLL_SECONDS)
                try:
                    fleet.check()
                except FleetFailed:
                    break
            replay.stop()

        async with beside(watch()):
            yield

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop, work = asyncio.get_running_loop(), asyncio.current_task()
        assert work is not None, "run outside of a task"

        def stop() -> None:
            if self.is_stopping:
                work.cancel()
            self.is_stopping = True

        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, stop)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


async def profile_of(address: str) -> EngineProfile:
    """What the engine says about itself.

    Raises:
        BadTarget: it does not say it in JSON.
    """
    timeout = aiohttp.ClientTimeout(_INFO_SECONDS)
    try:
        async with aiohttp.ClientSession(address, timeout=timeout) as session:
            answers = {}
            for path in ("/server_info", "/v1/models"):
                async with session.get(path) as response:
                    answers[path] = msgspec.json.decode(await response.read())
    except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError) as error:
        raise BadTarget(f"{address}: does not say what it is ({error})") from error
    return describe(answers, "sglang")
