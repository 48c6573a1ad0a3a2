"""Asks a second replica beside a slow first one, and keeps the one that answers first."""

import asyncio
from collections.abc import Callable, Collection

from retry_proxy.decide.hedge import Hedging
from retry_proxy.fleet.replica import Replica
from retry_proxy.stream.dispatch import Dispatch, Job

Running = dict["asyncio.Task[None]", Dispatch]


def replica_beside(
    job: Job, hedging: Hedging, slow: Replica, tried: Collection[str], now: float
) -> Replica | None:
    """Where a second attempt may go, paid for; one of the two will have to be aborted."""
    fleet, budget = job.services.fleet, job.services.budget
    if not (hedging.can_spend(now) and budget.can_spend(now) and fleet.has_free(tried)):
        return None
    replica = fleet.choose(tried, job.demand)
    if replica is None or not (fleet.can_abort(slow) and fleet.can_abort(replica)):
        return None
    hedging.spend(now)
    budget.spend(now)
    return replica


async def first_to_begin(
    first: Dispatch, delay_seconds: float, second: Callable[[], Dispatch | None]
) -> Dispatch:
    """Opens ``first``, and after a while ``second`` too, if there is to be one.

    One that fails while the other one runs is booked and forgotten.

    Returns:
        The one whose answer has begun, to be read; or the last that failed. The other one is
        aborted and booked by then.
    """
    running: Running = {asyncio.create_task(first.begin()): first}
    try:
        done, _ = await asyncio.wait(running, timeout=delay_seconds)
        if not done and (other := second()) is not None:
            running[asyncio.create_task(other.begin())] = other
        winner = await _winner(running)
    except BaseException:
        for loser in await _give_up(running):
            loser.close()
        raise
    for loser in await _give_up(running):
        loser.outrun()
    return winner


async def _winner(running: Running) -> Dispatch:
    """Takes it, and those that failed before, out of ``running``."""
    while True:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in sorted(done, key=lambda one: running[one].plan.number):
            dispatch = running[task]
            task.result()  # a bug of ours is raised; failures of others are in the dispatch
            del running[task]
            if dispatch.has_begun or not running:
                return dispatch
            await dispatch.read()


async def _give_up(running: Running) -> list[Dispatch]:
    """Stops those that still run. A bug in one is not raised here: the loop tells it."""
    losers = list(running.values())
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
    running.clear()
    return losers
