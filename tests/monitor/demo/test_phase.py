"""Requests go out a few at a time and in order."""

import asyncio

from monitor.demo.judge import Answer
from monitor.demo.phase import run_phase
from monitor.demo.prompts import PROMPTS

ANSWER = Answer(is_full=True, seconds=0.0, attempts=())


class Sender:
    """Counts how many requests run at once; one ends only when ``together`` of them run."""

    def __init__(self, together: int) -> None:
        self.barrier = asyncio.Barrier(together)
        self.running = 0
        self.most = 0
        self.sent: list[int] = []
        self.prepared: list[int] = []
        self.ended = 0

    async def send(self, index: int) -> Answer:
        self.sent.append(index)
        self.running += 1
        self.most = max(self.most, self.running)
        await self.barrier.wait()
        self.running -= 1
        return ANSWER

    async def before_each(self, index: int) -> None:
        await asyncio.sleep(0)
        self.prepared.append(index)

    def after_each(self, _answer: Answer) -> None:
        self.ended += 1


async def test_all_are_sent_and_never_too_many_at_once() -> None:
    """Prepared in order, one at a time."""
    sender = Sender(together=4)
    result = await run_phase(sender.send, 20, 4, sender.before_each, sender.after_each)
    assert len(result.answers) == sender.ended == 20
    assert sender.prepared == sender.sent == list(range(20))
    assert sender.most == 4


async def test_nothing_new_after_the_time_is_over() -> None:
    """What runs comes to its end; at least what was sent is answered."""
    sender = Sender(together=1)
    result = await run_phase(
        sender.send, 1000, 4, sender.before_each, sender.after_each, stop_after_seconds=0.01
    )
    assert len(result.answers) == len(sender.sent) < 1000


def test_prompts_are_varied() -> None:
    """No two the same, none too short to have a long answer."""
    assert len(set(PROMPTS)) == len(PROMPTS) >= 48
    assert min(map(len, PROMPTS)) > 40
