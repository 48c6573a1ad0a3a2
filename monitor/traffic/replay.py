"""Sends a plan at its times, whatever the target does: open loop. Knows no HTTP."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from monitor.traffic.outcome import Failure, Outcome
from monitor.traffic.schedule import Planned

Send = Callable[[Planned, float], Awaitable[Outcome]]
"""Sends one request that is due at a ``time.monotonic``; returns what it came to."""

_TURNS_WITHOUT_PAUSE = 16  # late requests that are sent before answers are read again


class Replayed(msgspec.Struct):
    """What a replay, or one worker's share of it, came to.

    Attributes:
        outcomes: of the requests that were sent, in no order.
        unsent: requests that were not, because it was stopped.
        held: requests that were late because of ``max_in_flight``: there the loop was not open.
        most_in_flight: at once.
        seconds: from the beginning to the last answer.
    """

    outcomes: list[Outcome] = []
    unsent: int = 0
    held: int = 0
    most_in_flight: int = 0
    seconds: float = 0.0


def merge(parts: Sequence[Replayed]) -> Replayed:
    """The shares of several workers as one, by number of the request. Pure.

    ``most_in_flight`` is a bound: the workers' peaks need not have been at the same time.
    """
    outcomes = [outcome for part in parts for outcome in part.outcomes]
    return Replayed(
        outcomes=sorted(outcomes, key=lambda outcome: outcome.number),
        unsent=sum(part.unsent for part in parts),
        held=sum(part.held for part in parts),
        most_in_flight=sum(part.most_in_flight for part in parts),
        seconds=max((part.seconds for part in parts), default=0.0),
    )


class Replay:
    """One replay, or one worker's share.

    Args:
        send: see ``Send``. What it raises ends the replay.
        max_in_flight: a request that would be one more waits, and is counted.
        on_outcome: called for each request that ended, also the interrupted ones.

    Attributes:
        in_flight: requests that run now.
    """

    def __init__(
        self,
        plan: Sequence[Planned],
        send: Send,
        *,
        max_in_flight: int | None = None,
        on_outcome: Callable[[Outcome], None] | None = None,
    ) -> None:
        self._plan = plan
        self._send = send
        self._max_in_flight = max_in_flight
        self._on_outcome = on_outcome
        self._stopping = asyncio.Event()
        self._has_room = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None
        self._had_room_at = -math.inf  # when a request last got its place after a wait
        self._result = Replayed(outcomes=[])

    @property
    def in_flight(self) -> int:
        """Requests that run now."""
        return len(self._tasks)

    def stop(self) -> None:
        """Nothing more is sent, and no answer is waited for."""
        self._stopping.set()
        self._has_room.set()

    async def run(self, start_at: float) -> Replayed:
        """Sends all of it and waits for the answers.

        Args:
            start_at: by ``time.monotonic``; when the plan's second 0 is.
        """
        await self._wait_until(start_at)
        sent = 0
        for sent, planned in enumerate(self._plan):
            if not await self._may_send(planned, start_at, sent):
                break
            task = asyncio.create_task(self._one(planned, start_at + planned.at_seconds))
            self._tasks.add(task)
            task.add_done_callback(self._over)
            self._result.most_in_flight = max(self._result.most_in_flight, len(self._tasks))
        else:
            sent = len(self._plan)
        self._result.unsent = len(self._plan) - sent
        await self._end()
        self._result.seconds = max(0.0, time.monotonic() - start_at)
        if self._failed is not None:
            raise self._failed
        return self._result

    async def _may_send(self, planned: Planned, start_at: float, number: int) -> bool:
        """Waits until it is due and there is room; false: the replay was stopped."""
        due_at = start_at + planned.at_seconds
        if due_at > time.monotonic():
            await self._wait_until(due_at)
        elif number % _TURNS_WITHOUT_PAUSE == 0:
            await asyncio.sleep(0)
        if self._max_in_flight is not None and len(self._tasks) >= self._max_in_flight:
            while len(self._tasks) >= self._max_in_flight and not self._stopping.is_set():
                self._has_room.clear()
                await self._has_room.wait()
            self._had_room_at = time.monotonic()
        self._result.held += due_at < self._had_room_at and not self._stopping.is_set()
        return not self._stopping.is_set()

    async def _wait_until(self, moment: float) -> None:
        left = moment - time.monotonic()
        if left <= 0 or self._stopping.is_set():
            return
        try:
            async with asyncio.timeout(left):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _one(self, planned: Planned, due_at: float) -> None:
        try:
            outcome = await self._send(planned, due_at)
        except asyncio.CancelledError:
            outcome = Outcome(planned.number, planned.at_seconds, 0.0, Failure.INTERRUPTED)
        self._result.outcomes.append(outcome)
        if self._on_outcome is not None:
            self._on_outcome(outcome)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._has_room.set()
        error = None if task.cancelled() else task.exception()
        if error is not None and self._failed is None:
            self._failed = error
            self.stop()

    async def _end(self) -> None:
        """Waits for what runs; cancels it once the replay is stopped."""
        while self._tasks and not self._stopping.is_set():
            self._has_room.clear()
            await self._has_room.wait()
        left = list(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
