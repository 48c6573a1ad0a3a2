"""One process' part of a replay: the same on this machine and on a worker of Ray.

Imports nothing of specwatch but ``monitor.traffic``: that is all that is sent to a worker.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from monitor.traffic.outcome import Outcome
from monitor.traffic.replay import Replay, Replayed
from monitor.traffic.request_body import Asking
from monitor.traffic.schedule import Planned
from monitor.traffic.sender import HttpSender

_TELL_SECONDS = 0.2


class Job(msgspec.Struct, frozen=True):
    """What to send, where, and when to begin.

    Attributes:
        start_at: unix time, seconds: workers on several machines begin together, as far as their
            clocks agree.
        api_key: sent as a bearer token.
    """

    target: str
    asking: Asking
    plan: list[Planned]
    start_at: float
    timeout_seconds: float
    max_in_flight: int | None = None
    api_key: str | None = None


class Progress(msgspec.Struct, frozen=True):
    """How far a part has come.

    Attributes:
        longest_lag_seconds: since the last time it was told.
    """

    ended: int
    failed: int
    flagged: int
    in_flight: int
    longest_lag_seconds: float


Tell = Callable[[Progress], Awaitable[bool]]
"""Takes a progress; returns whether to stop."""


async def run_job(job: Job, tell: Tell | None = None) -> Replayed:
    """Replays the job's plan.

    Raises:
        OSError: this machine has no more sockets or files.
    """
    counts = _Counts()
    async with HttpSender(job.target, job.asking, job.api_key, job.timeout_seconds) as sender:
        replay = Replay(
            job.plan, sender.send, max_in_flight=job.max_in_flight, on_outcome=counts.add
        )
        telling = None if tell is None else asyncio.create_task(_tell(replay, counts, tell))
        try:
            return await replay.run(time.monotonic() + job.start_at - time.time())
        finally:
            if telling is not None:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)


async def _tell(replay: Replay, counts: "_Counts", tell: Tell) -> None:
    while True:
        if await tell(counts.progress(replay.in_flight)):
            replay.stop()
            return
        await asyncio.sleep(_TELL_SECONDS)


class _Counts:
    """What has ended so far."""

    def __init__(self) -> None:
        self._ended = self._failed = self._flagged = 0
        self._longest_lag = 0.0

    def add(self, outcome: Outcome) -> None:
        """One request ended."""
        self._ended += 1
        self._failed += outcome.failure is not None
        self._flagged += outcome.verdict is not None
        self._longest_lag = max(self._longest_lag, outcome.lag_seconds)

    def progress(self, in_flight: int) -> Progress:
        """To be told now."""
        lag, self._longest_lag = self._longest_lag, 0.0
        return Progress(self._ended, self._failed, self._flagged, in_flight, lag)


def total(parts: Sequence[Progress]) -> Progress:
    """The progress of all parts as one. Pure."""
    return Progress(
        ended=sum(part.ended for part in parts),
        failed=sum(part.failed for part in parts),
        flagged=sum(part.flagged for part in parts),
        in_flight=sum(part.in_flight for part in parts),
        longest_lag_seconds=max((part.longest_lag_seconds for part in parts), default=0.0),
    )
