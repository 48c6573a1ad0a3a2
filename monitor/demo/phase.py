"""Sends the demo's requests, a few at a time. Decides who is asked next and when to stop."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from monitor.demo.judge import Answer

# How a phase sends its request number ``index``.
Send = Callable[[int], Awaitable[Answer]]
BeforeEach = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """What one phase gave."""

    answers: Sequence[Answer]
    seconds: float


async def run_phase(
    send: Send,
    count: int,
    concurrency: int,
    before_each: BeforeEach,
    after_each: Callable[[Answer], None],
    stop_after_seconds: float | None = None,
) -> PhaseResult:
    """Send up to ``count`` requests, ``concurrency`` at a time.

    Args:
        before_each: called in order, one call at a time, before a request is sent.
        stop_after_seconds: no new request after this long; those running come to their end.
    """
    started = time.monotonic()
    indexes = iter(range(count))
    dispatch = asyncio.Lock()
    answers: dict[int, Answer] = {}

    def is_over() -> bool:
        return stop_after_seconds is not None and time.monotonic() - started >= stop_after_seconds

    async def worker() -> None:
        while not is_over():
            async with dispatch:
                index = next(indexes, None)
                if index is None:
                    return
                await before_each(index)
            answers[index] = await send(index)
            after_each(answers[index])

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, count)):
            group.create_task(worker())
    in_order = [answers[index] for index in sorted(answers)]
    return PhaseResult(in_order, time.monotonic() - started)
