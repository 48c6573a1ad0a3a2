"""The open loop: due times, room, stopping, joining. Without a socket."""

import asyncio
import time

import pytest

from monitor.traffic.outcome import Failure, Outcome
from monitor.traffic.replay import Replay, Replayed, merge
from monitor.traffic.schedule import Planned
from monitor.traffic.trace import TraceRequest


def plan_of(*times: float) -> list[Planned]:
    return [Planned(n, at, TraceRequest(at, 10, 5)) for n, at in enumerate(times)]


class Slow:
    """A target that takes its time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.sent: list[tuple[int, float]] = []

    async def send(self, planned: Planned, due_at: float) -> Outcome:
        self.sent.append((planned.number, time.monotonic() - due_at))
        await asyncio.sleep(self.seconds)
        return Outcome(planned.number, planned.at_seconds, 0.0, status=200)


async def test_requests_are_sent_when_due_whatever_runs() -> None:
    """Each takes ten times as long as the gap to the next."""
    target = Slow(0.3)
    replay = Replay(plan_of(*(n * 0.03 for n in range(10))), target.send)
    began = time.monotonic()
    done = await replay.run(began + 0.02)
    assert [number for number, _ in target.sent] == list(range(10))
    assert all(0 <= late < 0.15 for _, late in target.sent)
    assert done.most_in_flight >= 5
    assert (len(done.outcomes), done.held, done.unsent) == (10, 0, 0)
    assert done.seconds < 1.5


async def test_over_the_bound_a_request_waits_and_is_counted() -> None:
    target = Slow(0.05)
    replay = Replay(plan_of(*[0.0] * 7), target.send, max_in_flight=2)
    done = await replay.run(time.monotonic())
    assert (done.most_in_flight, done.held, len(done.outcomes)) == (2, 5, 7)


async def test_a_late_generator_still_reads_answers() -> None:
    """With everything due at once the loop goes on breathing: answers end while it sends."""
    target = Slow(0.0)
    replay = Replay(plan_of(*[0.0] * 500), target.send)
    done = await replay.run(time.monotonic())
    assert len(done.outcomes) == 500
    assert done.most_in_flight < 250


@pytest.mark.parametrize("max_in_flight", [None, 2])
async def test_stopping_cuts_what_runs_and_counts_the_rest(max_in_flight: int | None) -> None:
    """Also while a request waits for its time, or for room."""
    target = Slow(60)
    seen: list[Outcome] = []
    replay = Replay(
        plan_of(0.0, 0.0, 0.01, 30.0),
        target.send,
        max_in_flight=max_in_flight,
        on_outcome=seen.append,
    )
    running = asyncio.create_task(replay.run(time.monotonic()))
    await asyncio.sleep(0.2)
    replay.stop()
    async with asyncio.timeout(5):
        done = await running
    sent = max_in_flight or 3
    assert [one.failure for one in done.outcomes] == [Failure.INTERRUPTED] * sent
    assert (done.unsent, len(seen), replay.in_flight) == (4 - sent, sent, 0)


async def test_stopped_before_its_beginning() -> None:
    replay = Replay(plan_of(0.0, 0.0), Slow(0).send)
    replay.stop()
    done = await replay.run(time.monotonic() + 30)
    assert (done.outcomes, done.unsent) == ([], 2)


async def test_a_bug_in_the_sender_ends_the_replay() -> None:
    """It is not taken for a bad answer."""

    async def broken(planned: Planned, _: float) -> Outcome:
        raise ZeroDivisionError

    replay = Replay(plan_of(0.0, 30.0), broken)
    async with asyncio.timeout(5):
        with pytest.raises(ZeroDivisionError):
            await replay.run(time.monotonic())


async def test_an_empty_plan_is_over_at_once() -> None:
    done = await Replay([], Slow(0).send).run(time.monotonic())
    assert (done.outcomes, done.unsent) == ([], 0)


def test_shares_are_joined_by_number() -> None:
    first = Replayed([Outcome(2, 0, 0), Outcome(0, 0, 0)], 1, 2, 3, 4.0)
    second = Replayed([Outcome(1, 0, 0)], 10, 20, 30, 3.0)
    joined = merge([first, second])
    assert [one.number for one in joined.outcomes] == [0, 1, 2]
    assert (joined.unsent, joined.held, joined.most_in_flight) == (11, 22, 33)
    assert joined.seconds == 4.0
    assert merge([]) == Replayed([])
