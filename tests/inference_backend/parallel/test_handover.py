"""A prompt that ranks have computed is decoded by another engine: each owner sends its layers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest

from inference_backend.disaggregation.handoff import AbortProtocol
from inference_backend.disaggregation.messages import Memory, layout_of
from inference_backend.disaggregation.page_move import PageMove
from inference_backend.disaggregation.roles import make_decode, make_prefill
from inference_backend.disaggregation.transport import LocalPages, LocalTransport
from inference_backend.engine.service import EngineService
from inference_backend.errors import TransferFailed
from inference_backend.kv.sanitizer import SanitizerMode
from inference_backend.parallel.handover import (
    OwnerSends,
    OwnersTransport,
    local_transport,
)
from inference_backend.parallel.owners import KvLayout
from inference_backend.parallel.worker import Worker
from tests.fakes.engine_runs import finish, prompt, recomputed, request
from tests.fakes.pair import Pair, failure_of, wait_until
from tests.fakes.rank_threads import Case, Ranks, running
from tests.fakes.tiny_model import SHAPE, tiny_engine, tiny_model

FIVE = replace(SHAPE, num_layers=5)


class Unreachable(LocalTransport):
    """Of a rank that cannot write to the decode engine."""

    def reach(self, memory: Memory) -> LocalPages:
        raise TransferFailed("no route to the decode engine")


def sending(group: Ranks, worker: Worker, name: int, *, can_send: bool) -> OwnerSends:
    own = local_transport(worker.rank) if can_send else Unreachable(worker.rank.store)
    sends = OwnerSends(group.store, name, worker.rank, own)
    worker.on_layer = sends.progress.computed
    return sends


@asynccontextmanager
async def pair(
    case: Case, *, can_send: bool = True, owners: list[OwnerSends] | None = None
) -> AsyncIterator[Pair]:
    """Ranks as the prefill, a plain engine as the decode side; ``owners`` is filled."""
    decode = tiny_engine(case.shape, num_drafts=2, sanitizer=SanitizerMode.RECORD)
    async with AsyncExitStack() as stack:
        group = stack.enter_context(running(case))
        for name, worker in enumerate(group.workers, start=1):
            sends = sending(group, worker, name, can_send=can_send)
            stack.callback(sends.stop)
            if owners is not None:
                owners.append(sends)
        leader = group.leader
        transport = OwnersTransport(group.store, leader, local_transport(leader.rank))
        engines = (leader.engine, decode)
        layouts = [layout_of(engine.runner.store, "tiny") for engine in engines]
        prefill_role = make_prefill(leader.engine, transport, layouts[0], 5.0)
        tell = prefill_role.sender.written
        leader.engine.runner.on_layer = transport.after(tell)
        decode_role = make_decode(
            decode, LocalTransport(decode.runner.store), layouts[1], AbortProtocol.CONFIRM, 20.0
        )
        services = [EngineService(engine, 64) for engine in engines]
        services[0].gate, services[1].gate = prefill_role, decode_role
        port = await prefill_role.link.start("127.0.0.1", 0)
        decode_role.link.start()
        for service in services:
            service.start()
        joined = Pair(
            prefill=leader.engine,
            decode=decode,
            prefill_service=services[0],
            decode_service=services[1],
            prefill_role=prefill_role,
            decode_role=decode_role,
            address=("127.0.0.1", port),
        )
        stack.callback(joined.stop)
        stack.push_async_callback(prefill_role.stop)
        stack.push_async_callback(decode_role.stop)
        yield joined


@pytest.mark.parametrize("layout", list(KvLayout))
async def test_answers_are_those_of_one_engine(layout: KvLayout) -> None:
    """Five layers and the draft head's on three ranks; the second prompt finds most of the first.

    The draft head starts from what the first rank sent, so drafts are accepted as in one engine.
    """
    case = Case(ranks=3, layout=layout, shape=FIVE, num_drafts=2, chunk_tokens=32)
    first = prompt(90, seed=81)
    second = [*first[:80], *prompt(20, seed=82)]
    single = tiny_engine(FIVE, num_drafts=2)
    wanted = [finish(single, [request("a", text, 20)])["a"].tokens for text in (first, second)]
    async with pair(case) as engines:
        assert await engines.answer("a", first, 20) == wanted[0]
        assert await engines.answer("b", second, 20) == wanted[1]
        await engines.settle()
        assert engines.decode.sanitizer_records() == []
        assert engines.prefill.sanitizer_records() == []


async def test_an_owner_that_cannot_send_fails_the_request() -> None:
    """Decode hears of it, and its pages are kept out: nobody knows what has arrived."""
    async with pair(Case(ranks=2, shape=FIVE, num_drafts=2), can_send=False) as engines:
        message = await failure_of(engines.answer("a", prompt(60, seed=83), 4))
        assert "rank 1: no route to the decode engine" in message
        await engines.settle()
        assert engines.decode.scheduler.cache.pool.num_retired > 0


async def test_nothing_is_kept_of_what_was_sent_nor_of_a_decode_that_is_gone() -> None:
    """Answers once stayed in the store, one for each layer of each chunk; and owners once kept the
    memory of every decode mapped, dead or not.
    """
    owners: list[OwnerSends] = []
    case = Case(ranks=2, shape=FIVE, num_drafts=2, chunk_tokens=32)
    async with pair(case, owners=owners) as engines:
        store = owners[0]._store
        keys = []
        for seed in range(3):
            await engines.answer(f"r{seed}", prompt(90, seed=90 + seed), 2)
            keys.append(store.num_keys())
        assert keys[2] == keys[1]
        assert owners[0]._reached
        await engines.decode_role.stop()
        await wait_until(lambda: not owners[0]._reached)


async def test_what_is_lost_while_it_is_read_is_not_said_to_have_arrived() -> None:
    """The ranks meet anew while the first one sends a layer that it has computed: what it reads is
    empty, and empty pages bear no tag, as where nobody checks. Once that was noticed only
    where the ranks had met before the write began.
    """
    async with pair(Case(ranks=2, shape=FIVE, num_drafts=2)) as engines:
        leader = engines.prefill.runner.run_prompts.__self__  # type: ignore[attr-defined]
        transport = engines.prefill_role.link._transport
        assert isinstance(transport, OwnersTransport)
        move = PageMove([1], [engines.prefill.scheduler.cache.epochs.begin(1, "a")], [1], [1])

        def lost() -> None:
            with transport.reading(move):
                leader._regroup()

        with pytest.raises(TransferFailed, match="lost with a rank"):
            lost()
        with pytest.raises(TransferFailed, match="lost with a rank"):
            transport.check(move)
        tokens = prompt(60, seed=95)
        assert await engines.answer("after", tokens, 4) == recomputed(tiny_model(FIVE), tokens, 4)
