"""A transfer that hangs: its pages are not reused however long it takes, and nobody else waits."""

import asyncio
import threading
from typing import Any

from inference_backend.disaggregation.messages import Memory
from inference_backend.disaggregation.transport import LocalPages, LocalTransport
from inference_backend.kv.store import KvStore
from tests.fakes.engine_runs import prompt, recomputed
from tests.fakes.pair import ROOMS, failure_of, make_pair
from tests.fakes.tiny_model import tiny_model

MODEL = tiny_model()


class Gate:
    """Writes wait here while it is closed."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()

    def transport(self, store: KvStore) -> "HangingTransport":
        made = HangingTransport(store)
        made.gate = self
        return made


class HangingPages(LocalPages):
    gate: Gate

    def write(self, *args: Any, **others: Any) -> None:
        self.gate.reached.set()
        assert self.gate.open.wait(20), "the test did not open the gate"
        super().write(*args, **others)


class HangingTransport(LocalTransport):
    gate: Gate

    def reach(self, memory: Memory) -> HangingPages:
        quick = super().reach(memory)
        slow = HangingPages(quick._source, quick._target)
        slow.gate = self.gate
        return slow


async def test_lent_pages_stay_out_of_use_while_the_write_hangs() -> None:
    gate = Gate()
    async with make_pair(
        budget_seconds=0.1, decode_pages=40, prefill_transport=gate.transport, wait_seconds=1.0
    ) as pair:
        room, long = next(ROOMS), prompt(60, 1)
        leg = asyncio.ensure_future(pair.compute("p", long, room))
        message = await failure_of(pair.decoded("hangs", long, room))
        assert "did not finish within its 0.1 s" in message
        assert await asyncio.to_thread(gate.reached.wait, 5)
        pool = pair.decode.scheduler.cache.pool
        held = pool.num_pages - pool.num_available
        assert held >= 14  # all that was lent for the prompt
        for number in range(3):  # requests that need no prefill go on, in the other pages
            short = prompt(4, number)
            answer = await pair.decoded(f"next{number}", short, next(ROOMS), 20)
            assert answer == recomputed(MODEL, short, 20)
            assert pool.num_pages - pool.num_available >= held
        gate.open.set()
        await asyncio.gather(leg, return_exceptions=True)
        await pair.settle()
        assert pool.num_retired == 0
        assert pair.decode.sanitizer_records() == []
