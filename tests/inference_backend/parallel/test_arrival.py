"""Nothing is read before it has arrived, and the sanitizer would see it."""

from dataclasses import replace

import pytest
import torch

from inference_backend.kv.labels import Corruption
from inference_backend.parallel.channel import AloneChannel
from inference_backend.parallel.owners import LayerOwners
from inference_backend.parallel.schedule import plan_pass
from inference_backend.parallel.staging import Staging
from tests.fakes.copies import OddCopies, broken_at
from tests.fakes.engine_runs import finish, prompt, request
from tests.fakes.odd_channels import OddChannel
from tests.fakes.rank_threads import Case, Ranks, running
from tests.fakes.tiny_indexer import tiny_indexer
from tests.fakes.tiny_model import SHAPE, tiny_engine

TEXT = prompt(120, seed=71)
KINDS = pytest.mark.parametrize(
    "case",
    [Case(sparse=sparse, ahead=ahead) for sparse in (False, True) for ahead in (0, 1)],
    ids=lambda case: f"{'sparse' if case.sparse else 'dense'}-ahead{case.ahead}",
)


def make_odd(group: Ranks, delay: float | None) -> OddChannel:
    """Nothing has been computed yet: the first rank may join once more."""
    rank = group.leader.rank
    assert rank.channel is not None
    odd = OddChannel(rank.channel, delay)
    rank.join(odd)
    return odd


def expected(case: Case) -> list[int]:
    indexer = tiny_indexer() if case.sparse else None
    single = tiny_engine(num_drafts=0, indexer=indexer, index_topk=case.topk)
    return finish(single, [request("a", TEXT, 1)])["a"].tokens


@KINDS
def test_what_arrives_at_the_last_moment_is_waited_for(case: Case) -> None:
    with running(case) as group:
        odd = make_odd(group, delay=0.01)
        done = finish(group.engine, [request("a", TEXT, 1)])["a"]
        assert done.tokens == expected(case)
        assert odd.broadcasts > 0
        assert group.engine.sanitizer_records() == []


@KINDS
def test_the_sanitizer_sees_what_never_arrived(case: Case) -> None:
    """The channel says that it has: the slot bears no tags, on the rank that was lied to."""
    with running(case) as group:
        make_odd(group, delay=None)
        done = finish(group.engine, [request("a", TEXT, 1)])["a"]
        assert done.last.labels is not None
        assert set(done.last.labels.tokens) == {Corruption.UNREADY}
        assert [record.request_id for record in group.engine.sanitizer_records()] == ["a"]


def make_staging() -> Staging:
    return Staging(SHAPE, 8, 4, torch.device("cpu"), torch.float32, None)


def test_a_slot_is_read_for_its_own_unit_only() -> None:
    staging, channel = make_staging(), AloneChannel()
    first, second, third = (step.unit for step in plan_pass(LayerOwners(3, 1), [2], 1))
    staging.begin_fill(first, None, channel)
    with pytest.raises(AssertionError, match="not filled for this unit"):
        staging.wait_kv(second)
    with pytest.raises(AssertionError, match="still to be read"):
        staging.begin_fill(third, None, channel)
    staging.wait_kv(first)
    staging.release(first)
    staging.begin_fill(third, None, channel)
    staging.wait_kv(third)


def test_a_slot_that_is_filled_again_bears_no_old_tags() -> None:
    staging = make_staging()
    unit = plan_pass(LayerOwners(1, 1), [2], 1)[0].unit
    staging.store.heads[unit.slot] = staging.store.tails[unit.slot] = 99
    staging.begin_fill(unit, None, AloneChannel())
    assert not staging.store.heads[unit.slot].any()
    assert not staging.store.tails[unit.slot].any()


@pytest.mark.parametrize("sparse", [False, True])
def test_layers_come_from_the_owners_host_tiers(sparse: bool) -> None:
    """A prompt is evicted on all ranks, and loaded by each owner from its own host memory."""
    case = Case(sparse=sparse, pages=48, host_pages=200, shape=replace(SHAPE, num_layers=3))
    with running(case) as group:
        engine = group.engine
        assert engine.host is not None
        first = finish(engine, [request("a", TEXT, 1)])["a"]
        for seed in (72, 73):
            finish(engine, [request(f"evict{seed}", prompt(150, seed), 1)])
        for rank in group.all:  # what is not loaded is not there
            for part in rank.store.parts:
                part.data.normal_()
        again = finish(engine, [request("b", TEXT, 1)])["b"]
        assert again.tokens == first.tokens
        assert again.last.cached_tokens == 116
        assert engine.sanitizer_records() == []
        assert engine.host.tier.index.hits == 29


def test_a_rank_whose_host_tier_fails_is_lost_and_comes_back() -> None:
    """The request fails; the group meets again with an empty cache, and computes it."""
    case = Case(pages=48, host_pages=200)
    with running(case) as group:
        engine, host = group.engine, group.workers[0].host
        assert host is not None
        first = finish(engine, [request("a", TEXT, 1)])["a"]
        for seed in (72, 73):
            finish(engine, [request(f"evict{seed}", prompt(150, seed), 1)])

        host.loader.copies = OddCopies(host.host, broken_at("kv", 0))
        engine.add(request("b", TEXT, 1))
        ended = engine.step()
        assert ended[0].is_transfer_failure
        assert group.leader.members == [0, 1]
        again = finish(engine, [request("c", TEXT, 1)])["c"]
        assert (again.tokens, again.last.cached_tokens) == (first.tokens, 0)
