"""Pages through memory that another process has mapped."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
import torch

from inference_backend.disaggregation.messages import Memory
from inference_backend.disaggregation.page_move import PageMove
from inference_backend.disaggregation.shared import Handles, SharedTransport
from inference_backend.disaggregation.transport import Ready
from inference_backend.errors import TransferFailed
from inference_backend.kv.epochs import Mover
from inference_backend.kv.store import KvStore
from tests.fakes.engine_runs import prompt, recomputed
from tests.fakes.pair import make_pair
from tests.fakes.role_fleet import Fleet, make_fleet, wait_until
from tests.fakes.tiny_model import SHAPE, tiny_model

MODEL = tiny_model()


def new_store(pages: int = 8) -> KvStore:
    return KvStore(SHAPE, pages, 4, torch.device("cpu"), torch.float32)


async def test_answers_are_those_of_one_engine() -> None:
    async with make_pair(
        prefill_transport=SharedTransport, decode_transport=SharedTransport
    ) as pair:
        prompts = {f"r{n}": prompt(5 + 9 * n, n) for n in range(8)}
        answers = await asyncio.gather(*(pair.answer(name, p) for name, p in prompts.items()))
        for tokens, answer in zip(prompts.values(), answers, strict=True):
            assert answer == recomputed(MODEL, tokens, 24)
        assert pair.decode.sanitizer_records() == []
        await pair.settle()


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    fleet = make_fleet(0.0, "shared")
    try:
        await fleet.start_only([fleet.quick, fleet.decode])
        yield fleet
    finally:
        await fleet.stop()


async def test_two_processes_share_and_one_may_be_killed(fleet: Fleet) -> None:
    """The decode that comes again has other memory, and is written to there."""
    for seeds in (range(8), range(8, 16)):
        prompts = [prompt(5 + 9 * (seed % 8), seed) for seed in seeds]
        answers = await asyncio.gather(
            *(fleet.ask(fleet.quick, fleet.decode, each, 24) for each in prompts)
        )
        assert answers == [recomputed(MODEL, each, 24) for each in prompts]
        for replica in (fleet.quick, fleet.decode):
            await wait_until(lambda replica=replica: fleet.accounted(replica))
            assert (await fleet.numbers(replica))["corrupted_tokens_total"] == 0
        fleet.decode.kill()
        await fleet.start_only([fleet.decode])


def test_what_is_written_is_there_with_the_targets_tags() -> None:
    """The memory was shared after the store was made: its views see the write all the same."""
    source, target = new_store(), new_store()
    decode = SharedTransport(target)
    source.data.normal_()
    source.tail_hidden.normal_()
    source.tag_pages([2, 3], [5, 6], Mover.COMPUTE)
    pages = SharedTransport(source).reach(decode.describe())
    move = PageMove([2, 3], [5, 6], [7, 1], [11, 12])
    for layer in range(SHAPE.num_layers + 1):
        pages.write(layer, move, Ready(source.device))
    pages.write_tails(move, Ready(source.device))
    assert torch.equal(target.data[:, [7, 1]], source.data[:, [2, 3]])
    assert torch.equal(target.tail_hidden[[7, 1]], source.tail_hidden[[2, 3]])
    assert (target.heads[0, [7, 1]] >> 2).tolist() == [11, 12]
    assert torch.equal(target.heads, target.tails)


def test_pages_beyond_the_other_side_are_not_written() -> None:
    target = new_store()
    pages = SharedTransport(new_store()).reach(SharedTransport(target).describe())
    for page in (9, 0, -1):
        with pytest.raises(TransferFailed, match="does not have"):
            pages.write(0, PageMove([1], [1], [page], [1]), Ready(torch.device("cpu")))


@pytest.mark.parametrize("session", ["", "{}", '{"blocks":1}'])
def test_what_is_no_handle_is_refused_in_words(session: str) -> None:
    with pytest.raises(TransferFailed, match="cannot be mapped"):
        SharedTransport(new_store()).reach(Memory(transport="shared", session=session, pages=9))


def test_memory_that_is_too_small_or_not_torchs_is_refused() -> None:
    """A peer must not have us write behind its memory, or into a file that it names."""
    target = new_store(4)
    there = SharedTransport(target).describe()
    mine = SharedTransport(new_store())
    with pytest.raises(TransferFailed, match="are needed"):
        mine.reach(Memory(transport="shared", session=there.session, pages=9))
    handles = msgspec.json.decode(there.session, type=Handles)
    fields = [handles.blocks.fields[0], "L2V0Yy9wYXNzd2Q=", handles.blocks.fields[2]]
    forged = Handles(msgspec.structs.replace(handles.blocks, fields=fields), handles.tails)
    with pytest.raises(TransferFailed, match="none of torch's"):
        mine.reach(
            Memory(transport="shared", session=msgspec.json.encode(forged).decode(), pages=5)
        )


def test_another_transport_is_refused_in_words() -> None:
    with pytest.raises(TransferFailed, match="uses the transport local, this prefill shared"):
        SharedTransport(new_store()).reach(Memory(transport="local", session="x", pages=9))
