"""The pair over Mooncake's real transfer engine: one-sided writes through TCP."""

import asyncio
from collections.abc import Callable

import pytest

from inference_backend.disaggregation.messages import Memory
from inference_backend.disaggregation.mooncake import MooncakeTransport
from inference_backend.disaggregation.page_move import PageMove
from inference_backend.disaggregation.transport import Ready
from inference_backend.errors import TransferFailed
from inference_backend.kv.store import KvStore
from tests.fakes.engine_runs import prompt, recomputed
from tests.fakes.pair import ROOMS, failure_of, make_pair
from tests.fakes.tiny_model import tiny_engine, tiny_model

pytestmark = pytest.mark.mooncake
MODEL = tiny_model()


def mooncake(store: KvStore) -> MooncakeTransport:
    return MooncakeTransport(store, "127.0.0.1")


async def test_answers_are_those_of_one_engine() -> None:
    """Every page arrives with its tags: the sanitizer checks each one where it is read."""
    async with make_pair(prefill_transport=mooncake, decode_transport=mooncake) as pair:
        prompts = {f"r{n}": prompt(5 + 9 * n, n) for n in range(8)}
        answers = await asyncio.gather(*(pair.answer(name, p) for name, p in prompts.items()))
        for tokens, answer in zip(prompts.values(), answers, strict=True):
            assert answer == recomputed(MODEL, tokens, 24)
        assert pair.decode.sanitizer_records() == []
        assert pair.decode_role.receiver.totals.arrived == 8
        await pair.settle()


async def test_a_decode_side_whose_memory_is_gone_fails_alone() -> None:
    """The write fails, nobody knows how much of it arrived: the pages are retired."""
    transports: list[MooncakeTransport] = []
    async with make_pair(
        prefill_transport=mooncake, decode_transport=kept(mooncake, transports)
    ) as pair:
        good = prompt(30, 1)
        assert await pair.answer("before", good) == recomputed(MODEL, good, 24)
        transports[0].close()
        room = next(ROOMS)
        leg = asyncio.ensure_future(pair.compute("p", prompt(40, 2), room))
        assert "failed" in await failure_of(pair.decoded("d", prompt(40, 2), room))
        await asyncio.gather(leg, return_exceptions=True)
        assert pair.decode.scheduler.cache.pool.num_retired > 0
        await pair.settle()


def kept(
    make: Callable[[KvStore], MooncakeTransport], into: list[MooncakeTransport]
) -> Callable[[KvStore], MooncakeTransport]:
    def made(store: KvStore) -> MooncakeTransport:
        into.append(make(store))
        return into[-1]

    return made


def test_pages_beyond_the_other_side_are_not_written() -> None:
    """An offer with a wrong page number would otherwise reach other memory of that process."""
    store = tiny_engine(pages=8).runner.store
    transport = mooncake(store)
    pages = transport.reach(transport.describe())
    with pytest.raises(TransferFailed, match="does not have"):
        pages.write(0, PageMove([1], [1], [9], [1]), Ready(store.device))
    transport.close()


def test_another_transport_is_refused_in_words() -> None:
    transport = mooncake(tiny_engine(pages=8).runner.store)
    with pytest.raises(TransferFailed, match="uses the transport local, this prefill mooncake"):
        transport.reach(Memory(transport="local", session="x", pages=9))
    transport.close()


def test_a_connection_that_ended_leaves_no_memory_registered() -> None:
    """Each one stages pages in memory of its own. Once that stayed registered: a decode side that
    came back again and again filled the table, and peers could read what was freed long ago.
    """
    transport = mooncake(tiny_engine(pages=8).runner.store)
    pages = transport.reach(transport.describe())
    address, size = pages._staging.data_ptr(), pages._staging.nbytes
    engine = pages._engine
    assert engine.register_memory(address, size) != 0, "it is registered"
    pages.close()
    assert engine.register_memory(address, size) == 0, "it is not registered any more"
    engine.unregister_memory(address)
    transport.close()
