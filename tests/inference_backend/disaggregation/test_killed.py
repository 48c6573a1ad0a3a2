"""Real processes that are killed or stopped while pages are on their way over Mooncake.

Of the long prompt every write takes a tenth of a second, so that the transfer lasts for seconds.
What must hold: no wrong token, no page lost, nobody else disturbed, and whoever comes back is taken
in again.
"""

import asyncio
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.fakes.engine_runs import prompt, recomputed
from tests.fakes.role_fleet import BUDGET_SECONDS, Fleet, Replica, make_fleet, wait_until
from tests.fakes.tiny_model import tiny_model

pytestmark = [pytest.mark.mooncake, pytest.mark.asyncio(loop_scope="module")]
MODEL = tiny_model()
LENGTH = 16
LONG = 150  # tokens: 10 chunks of three layers, so 3 s of writes
WRITE_SECONDS = 0.1
FENCED_SECONDS = 20.0
"""Until a dead peer is noticed and its pages are settled; at once, but on a loaded machine."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def processes() -> AsyncIterator[Fleet]:
    fleet = make_fleet(WRITE_SECONDS)
    try:
        yield fleet
    finally:
        await fleet.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def fleet(processes: Fleet) -> Fleet:
    """All four run; whoever was killed has been started again."""
    await processes.start()
    return processes


async def test_a_prefill_killed_in_the_middle(fleet: Fleet) -> None:
    """Its connection breaks: decode gives the request up, and retires what it may have written."""
    before = await fleet.numbers(fleet.decode)
    long = await begin(fleet, fleet.slow, fleet.decode, seed=1)
    fleet.slow.kill()
    fenced = await wait_until(lambda: more_retired(fleet, before), FENCED_SECONDS)
    print(f"fenced {fenced:.3f} s after the kill")
    assert "is gone" in str(await long)
    assert await right(fleet, fleet.quick, fleet.decode, range(10, 14))
    after = await settled(fleet, fleet.decode)
    assert after["retired_pages"] - before["retired_pages"] == (LONG - 1) // 4
    await fleet.start()
    assert await right(fleet, fleet.slow, fleet.decode, range(14, 16)), "it is taken in again"


async def test_a_decode_killed_in_the_middle(fleet: Fleet) -> None:
    """The prefill lets its pages go, and writes for another decode all the while."""
    long = await begin(fleet, fleet.slow, fleet.decode, seed=2)
    others = asyncio.ensure_future(right(fleet, fleet.slow, fleet.other, range(20, 23)))
    fleet.decode.kill()
    assert "Error" in str(await long)
    fenced = await wait_until(lambda: fleet.accounted(fleet.slow), FENCED_SECONDS)
    print(f"let go {fenced:.3f} s after the kill")
    assert await others
    assert (await settled(fleet, fleet.slow))["retired_pages"] == 0
    await settled(fleet, fleet.other)
    await fleet.start()
    assert await right(fleet, fleet.slow, fleet.decode, range(23, 25)), "it is taken in again"


async def test_a_prefill_that_hangs(fleet: Fleet) -> None:
    """Its budget ends the request; its pages wait for its word, however long that takes."""
    before = await fleet.numbers(fleet.decode)
    long = await begin(fleet, fleet.slow, fleet.decode, seed=3)
    fleet.slow.send(signal.SIGSTOP)
    try:
        assert f"did not finish within its {BUDGET_SECONDS:g} s" in str(await long)
        assert await right(fleet, fleet.quick, fleet.decode, range(30, 34))
        now = await fleet.numbers(fleet.decode)
        assert now["retired_pages"] == before["retired_pages"]
        held = now["pages"] - now["free_pages"] - now["cached_pages"] - now["retired_pages"]
        assert held >= (LONG - 1) // 4
    finally:
        fleet.slow.send(signal.SIGCONT)
    after = await settled(fleet, fleet.decode)
    assert after["retired_pages"] == before["retired_pages"], "it said that nothing is under way"
    assert await right(fleet, fleet.slow, fleet.decode, range(34, 36))


async def test_a_decode_that_hangs(fleet: Fleet) -> None:
    """Writes to it end when it goes on; those to another decode do not wait for it."""
    long = await begin(fleet, fleet.slow, fleet.decode, seed=4)
    fleet.decode.send(signal.SIGSTOP)
    try:
        assert await right(fleet, fleet.slow, fleet.other, range(40, 43))
    finally:
        fleet.decode.send(signal.SIGCONT)
    answer = await long
    assert answer == recomputed(MODEL, prompt(LONG, 4), LENGTH) or "did not finish" in str(answer)
    for replica in (fleet.slow, fleet.decode, fleet.other):
        await settled(fleet, replica)
    assert await right(fleet, fleet.slow, fleet.decode, range(43, 45))


async def begin(
    fleet: Fleet, prefill: Replica, decode: Replica, seed: int
) -> "asyncio.Task[list[int] | str]":
    """A long prompt, some of whose layers have been written."""
    task = asyncio.ensure_future(fleet.ask(prefill, decode, prompt(LONG, seed), LENGTH))

    async def is_lent() -> bool:
        return not await fleet.accounted(decode)

    await wait_until(is_lent)
    await asyncio.sleep(5 * WRITE_SECONDS)
    assert not task.done()
    return task


async def right(fleet: Fleet, prefill: Replica, decode: Replica, seeds: range) -> bool:
    """Whether prompts of other requests get the answers of an engine that nothing happens to."""
    prompts = [prompt(9 + seed % 10, seed) for seed in seeds]
    answers = await asyncio.gather(*(fleet.ask(prefill, decode, each, LENGTH) for each in prompts))
    return answers == [recomputed(MODEL, each, LENGTH) for each in prompts]


async def more_retired(fleet: Fleet, before: dict[str, float]) -> bool:
    now = await fleet.numbers(fleet.decode)
    return now["retired_pages"] > before["retired_pages"]


async def settled(fleet: Fleet, replica: Replica) -> dict[str, float]:
    """Its numbers, once no page is held; no token was ever computed from wrong cache."""
    await wait_until(lambda: fleet.accounted(replica), FENCED_SECONDS)
    numbers = await fleet.numbers(replica)
    assert numbers["corrupted_tokens_total"] == 0
    assert numbers["corrupted_requests_total"] == 0
    return numbers
