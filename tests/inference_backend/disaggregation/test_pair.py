"""A prefill and a decode engine together: same answers, nothing lost, every early end."""

import asyncio
import time
from typing import Any

from inference_backend.disaggregation.handoff import AbortProtocol
from inference_backend.disaggregation.messages import Memory, Offer, Report
from inference_backend.disaggregation.transport import LocalPages, LocalTransport
from inference_backend.engine.sequence import Sequence
from inference_backend.kv.labels import Corruption
from tests.fakes.engine_runs import prompt, recomputed
from tests.fakes.pair import ROOMS, Pair, failure_of, make_pair, wait_until
from tests.fakes.tiny_model import tiny_model

MODEL = tiny_model()
LENGTH = 24


def healthy(tokens: list[int], new_tokens: int = LENGTH) -> list[int]:
    return recomputed(MODEL, tokens, new_tokens)


async def test_the_answer_is_that_of_one_engine() -> None:
    """Prompts shorter than a page, at its border, over several chunks."""
    async with make_pair() as pair:
        for length in (1, 3, 4, 5, 8, 33, 70):
            tokens = prompt(length, length)
            assert await pair.answer(f"r{length}", tokens) == healthy(tokens)
        assert pair.decode.sanitizer_records() == []
        assert pair.prefill.sanitizer_records() == []
        await pair.settle()


async def test_the_prompt_is_computed_by_the_prefill_alone() -> None:
    """Decode computes the last page's tokens at most."""
    async with make_pair() as pair:
        tokens = prompt(70, 1)
        computed: list[int] = []
        take = pair.decode.take_transfer

        def arrived(sequence: Sequence, is_tainted: bool) -> None:
            computed.append(sequence.num_computed)
            take(sequence, is_tainted)

        pair.decode_role.receiver._on_arrived = arrived
        await pair.answer("a", tokens)
        assert computed == [68]
        await pair.settle()


async def test_many_at_once_with_shared_prefixes_and_few_pages() -> None:
    """Pages are found on either side, evicted, and preempted answers are computed again."""
    async with make_pair(decode_pages=64, prefill_pages=64) as pair:
        start = prompt(24, 1)
        prompts = {f"r{n}": start[: 4 * (n % 7)] + prompt(9 + n, 50 + n) for n in range(24)}
        answers = await asyncio.gather(*(pair.answer(name, p) for name, p in prompts.items()))
        for tokens, answer in zip(prompts.values(), answers, strict=True):
            assert answer == healthy(tokens)
        assert pair.decode.sanitizer_records() == []
        await pair.settle()


async def test_wrong_cache_of_the_prefill_shows_in_the_answer_of_the_decode() -> None:
    """Its pages arrive whole: only the prefill can know that they were computed from others.

    Once the whole chain was blind here: a race in the prefill's host cache was counted nowhere.
    """
    start = prompt(24, 1)
    async with make_pair() as pair:
        await pair.answer("sound", start)
        prefill = pair.prefill.scheduler.cache
        prefill.epochs.tainted.update(prefill.prefix.match(start, ""))
        await pair.answer("wrong", start + prompt(20, 2))
        await pair.answer("of its own", prompt(40, 3))
        prefill.epochs.tainted.clear()
        await pair.answer("found on the decode's side", start + prompt(20, 2))
        kinds = {
            record.request_id: dict(record.labels.tokens)
            for record in pair.decode.sanitizer_records()
        }
        assert kinds == {
            "wrong": {Corruption.DERIVED: LENGTH},
            "found on the decode's side": {Corruption.DERIVED: LENGTH},
        }
        await pair.settle()


async def test_decode_gives_up_when_the_prefill_is_late() -> None:
    """Here the prefill's leg never comes. The pages are asked back, and come back."""
    async with make_pair(budget_seconds=0.05) as pair:
        message = await failure_of(pair.decoded("a", prompt(20), next(ROOMS)))
        assert "did not finish within its 0.05 s" in message
        await pair.settle()
        assert pair.decode_role.receiver.totals.given_up == 1
        assert pair.decode.scheduler.cache.pool.num_retired == 0


async def test_a_late_leg_of_a_given_up_room_is_told_so() -> None:
    async with make_pair(budget_seconds=0.05) as pair:
        room = next(ROOMS)
        await failure_of(pair.decoded("a", prompt(20), room))
        await asyncio.sleep(0.05)
        message = await failure_of(pair.compute("a", prompt(20), room))
        assert f"given up bootstrap_room {room}" in message
        await pair.settle()


async def test_a_leg_that_nobody_lends_for_ends() -> None:
    async with make_pair(wait_seconds=0.05) as pair:
        message = await failure_of(pair.compute("a", prompt(20), 77))
        assert "no decode side has lent pages for bootstrap_room 77" in message
        await pair.settle()


async def test_lent_pages_whose_request_does_not_come_are_given_back() -> None:
    """Before the budget is spent: a router that lost its prefill leg costs nobody the full wait."""
    async with make_pair(wait_seconds=0.05) as pair:
        message = await failure_of(pair.decoded("a", prompt(20), next(ROOMS)))
        assert "the prefill's request did not come" in message
        await pair.settle()
        assert pair.decode.scheduler.cache.pool.num_retired == 0


async def test_a_room_in_use_is_refused_and_nothing_of_the_other_is_lost() -> None:
    """Clients choose rooms. A second request of the same room once took the place of the first,
    whose pages nobody gave back. Room 0 is one like any other.
    """
    async with make_pair() as pair:
        tokens = prompt(30, 6)
        first = asyncio.ensure_future(pair.decoded("a", tokens, 0))
        receiver = pair.decode_role.receiver
        await wait_until(lambda: len(receiver) > 0)
        assert list(receiver.pending(receiver._lent[0].sequence)) == list(range(7))
        for name in ("b", "c"):
            message = await failure_of(pair.decoded(name, prompt(20, 7), 0))
            assert message == "another request has bootstrap_room 0"
        legs = await asyncio.gather(
            *(pair.compute(name, tokens, 0) for name in ("leg", "late")), return_exceptions=True
        )
        assert [str(each) for each in legs if each is not None] == [
            "another request has bootstrap_room 0"
        ]
        assert await first == healthy(tokens)
        await pair.settle()


async def test_a_prefill_takes_a_room_from_one_decode_only() -> None:
    """The other is told that nothing is written; what it does then does not touch the first's."""
    async with make_pair() as pair:
        sender, said = pair.prefill_role.sender, list[Report]()
        first = asyncio.ensure_future(pair.decoded("a", tokens := prompt(30, 8), 5))
        await wait_until(lambda: sender.has(5))
        other = sender.connect(LocalPages(pair.prefill.runner.store, pair.decode.runner.store))
        sender.offer(Offer(room=5, first=0, pages=[1], epochs=[1]), other, said.append)
        sender.abort(5, said.append)
        sender.disconnect(other)
        assert [report.event for report in said] == ["failed", "safe"]
        await pair.compute("leg", tokens, 5)
        assert await first == healthy(tokens)
        await pair.settle()


async def test_the_client_leaves_while_the_prompt_is_computed() -> None:
    async with make_pair(prefill_transport=SlowTransport) as pair:
        room = next(ROOMS)
        legs = [
            asyncio.ensure_future(pair.compute("a", prompt(60), room)),
            asyncio.ensure_future(pair.decoded("a", prompt(60), room)),
        ]
        await asyncio.sleep(0.05)
        for leg in legs:
            leg.cancel()
        await asyncio.gather(*legs, return_exceptions=True)
        other = prompt(60, 2)
        assert await pair.answer("b", other) == healthy(other)
        await pair.settle()
        assert pair.decode.scheduler.cache.pool.num_retired == 0


async def test_another_layout_is_refused_in_words() -> None:
    for name, value in (("page_size", 8), ("dtype", "bfloat16"), ("model", "other"), ("layers", 3)):
        async with make_pair(decode_layout={name: value}) as pair:
            message = await failure_of(pair.decoded("a", prompt(20), next(ROOMS)))
            assert "do not fit together" in message
            assert name in message
            await pair.settle()


async def test_a_prefill_that_is_not_there() -> None:
    async with make_pair() as pair:
        pair.address = ("127.0.0.1", 9)
        message = await failure_of(pair.decoded("a", prompt(20), next(ROOMS)))
        assert "the prefill at 127.0.0.1:9 cannot be reached" in message
        await pair.settle()


async def test_a_lost_connection_retires_what_may_still_be_written() -> None:
    async with make_pair(prefill_transport=SlowTransport) as pair:
        room = next(ROOMS)
        leg = asyncio.ensure_future(pair.compute("a", prompt(60), room))
        answer = asyncio.ensure_future(pair.decoded("a", prompt(60), room))
        await asyncio.sleep(0.05)
        await pair.prefill_role.link.stop()
        assert "is gone" in await failure_of(answer)
        await asyncio.gather(leg, return_exceptions=True)
        await pair.settle()
        assert pair.decode.scheduler.cache.pool.num_retired == 14


async def test_unsafe_reuses_at_once_and_the_late_write_is_found() -> None:
    """As shipped: the slow prefill's writes land in pages that belong to the next request."""
    async with make_pair(
        AbortProtocol.UNSAFE,
        budget_seconds=0.03,
        decode_pages=40,
        prefill_transport=SlowTransport,
        wait_seconds=1.0,
    ) as pair:
        await late_writes(pair)
        records = {r.request_id: r.labels for r in pair.decode.sanitizer_records()}
        assert records
        for labels in records.values():
            assert {writer.by for writer in labels.writers} <= {"transfer"}
        named = {w.request_id for labels in records.values() for w in labels.writers}
        assert named
        assert named <= {f"late{number}" for number in range(4)}
        await pair.settle()


async def test_confirm_under_the_same_load_corrupts_nothing() -> None:
    async with make_pair(
        AbortProtocol.CONFIRM,
        budget_seconds=0.03,
        decode_pages=40,
        prefill_transport=SlowTransport,
        wait_seconds=1.0,
    ) as pair:
        await late_writes(pair)
        assert pair.decode.sanitizer_records() == []
        await pair.settle()
        assert pair.decode_role.receiver.totals.given_up > 0


async def late_writes(pair: Pair) -> None:
    """Rounds of one request that is too slow for its budget, and three that follow at once.

    These need nothing from the prefill, and together all the pages there are.
    """
    for number in range(4):
        room, long = next(ROOMS), prompt(100, number)
        leg = asyncio.ensure_future(pair.compute(f"p{number}", long, room))
        message = await failure_of(pair.decoded(f"late{number}", long, room))
        assert "did not finish" in message
        names = [f"next{number}-{n}" for n in range(3)]
        answers = [
            pair.decoded(name, prompt(4, n), next(ROOMS), 30) for n, name in enumerate(names)
        ]
        await asyncio.gather(*answers, leg, return_exceptions=True)


class SlowPages(LocalPages):
    """Every write takes 10 ms."""

    def write(self, *args: Any, **others: Any) -> None:
        time.sleep(0.01)
        super().write(*args, **others)


class SlowTransport(LocalTransport):
    def reach(self, memory: Memory) -> SlowPages:
        quick = super().reach(memory)
        return SlowPages(quick._source, quick._target)
