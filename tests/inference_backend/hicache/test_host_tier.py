"""The host tier in the engine: prefixes that were evicted come back."""

import asyncio
import random
from typing import Any

import pytest

from inference_backend.engine.request import FinishReason, GenerationRequest
from inference_backend.engine.service import EngineService
from inference_backend.errors import TransferFailed
from inference_backend.hicache.readiness import LoadReadiness, LoadSync
from inference_backend.kv.labels import Corruption
from inference_backend.kv.sanitizer import SanitizerMode
from tests.fakes.copies import StuckAt, broken_at, slow
from tests.fakes.engine_runs import check_pages, finish, prompt, request
from tests.fakes.host_runs import (
    LONG,
    TOPK,
    engine_with_host,
    evict,
    finish_while_loading,
    misbehave,
    settle,
)
from tests.fakes.tiny_indexer import tiny_indexer
from tests.fakes.tiny_model import ONE_LAYER, tiny_engine

SPARSE = [pytest.param(False, id="dense"), pytest.param(True, id="sparse")]


@pytest.mark.parametrize("num_drafts", [0, 3])
@pytest.mark.parametrize("sparse", SPARSE)
def test_a_prefix_from_the_host_gives_the_same_answer(sparse: bool, num_drafts: int) -> None:
    """As when it was computed, and no page of it was computed again."""
    with engine_with_host(sparse=sparse, num_drafts=num_drafts) as (engine, host):
        first = finish(engine, [request("a", LONG, 30)])["a"]
        evict(engine)
        again = finish(engine, [request("b", LONG, 30)])["b"]
        assert again.tokens == first.tokens
        assert again.last.cached_tokens == 116  # 29 pages; the last token's is computed
        assert again.last.counters == first.last.counters  # the draft head found its states too
        settle(engine, host)
        assert host.loaded_pages == 29


@pytest.mark.parametrize("sparse", SPARSE)
def test_loading_survives_chunks_neighbours_and_slowness(sparse: bool) -> None:
    """Two prompts that continue one evicted prefix, beside a third, in small chunks."""
    prompts = {
        "a": [*LONG, *prompt(30, seed=6)],
        "b": [*LONG[:100], *prompt(60, seed=7)],
        "c": prompt(60, seed=8),
    }
    options: dict[str, Any] = {"pages": 200, "chunk_tokens": 16, "sparse": sparse}
    with engine_with_host(**options) as (engine, _):
        expected = {
            name: finish(engine, [request(name, text, 20)])[name].tokens
            for name, text in prompts.items()
        }
    with engine_with_host(**options | {"pages": 130}) as (engine, host):
        finish(engine, [request("first", LONG, 4)])
        for seed in range(6):
            finish(engine, [request(f"evict{seed}", prompt(150, seed + 50), 8)])
        misbehave(host, slow("kv", 0.01))
        found = finish(engine, [request(name, text, 20) for name, text in prompts.items()])
        assert {name: one.tokens for name, one in found.items()} == expected
        settle(engine, host)
        assert host.loaded_pages > 0


@pytest.mark.parametrize("salt", ["", "other"])
def test_a_salt_separates_prefixes_in_the_host_too(salt: str) -> None:
    with engine_with_host() as (engine, host):
        finish(engine, [request("a", LONG, 8, salt="")])
        evict(engine)
        again = finish(engine, [request("b", LONG, 8, salt=salt)])["b"]
        assert (again.last.cached_tokens > 0) == (salt == "")
        settle(engine, host)


def test_with_kv_only_the_indexer_reads_what_has_not_arrived() -> None:
    """The race as shipped: the answer changes, and the sanitizer says why."""
    with engine_with_host(load_sync=LoadSync.KV_ONLY, sanitizer=SanitizerMode.RECORD) as (
        engine,
        host,
    ):
        sound = finish(engine, [request("a", LONG, 30)])["a"]
        assert sound.last.labels is None
        evict(engine)
        misbehave(host, slow("index", 0.2))
        wrong = finish(engine, [request("b", LONG, 30)])["b"]
        assert wrong.last.labels is not None
        assert wrong.last.labels.tokens[Corruption.UNREADY] >= 1
        assert wrong.last.labels.total == 30
        settle(engine, host)


def test_an_index_that_never_arrives_gives_another_answer() -> None:
    """One layer, no drafts: all else has arrived, and nobody waits for the index."""
    options: dict[str, Any] = {"shape": ONE_LAYER, "num_drafts": 0, "load_sync": LoadSync.KV_ONLY}
    with engine_with_host(sanitizer=SanitizerMode.RECORD, **options) as (engine, host):
        sound = finish(engine, [request("a", LONG, 40)])["a"]
        evict(engine)
        stuck = StuckAt("index", 0)
        misbehave(host, stuck)
        wrong = finish_while_loading(engine, request("b", LONG, 40))
        stuck.go_on.set()
        labels = wrong.last.labels
        assert labels is not None
        assert labels.tokens == {Corruption.UNREADY: 40}
        assert labels.writers == []
        assert wrong.tokens != sound.tokens
        settle(engine, host)


def test_what_was_computed_from_unready_pages_stays_wrong_in_the_host() -> None:
    """A prefix that continues them is evicted, comes back, and its tokens are labelled."""
    longer = [*LONG, *prompt(20, seed=9)]
    with engine_with_host(load_sync=LoadSync.KV_ONLY, sanitizer=SanitizerMode.RECORD) as (
        engine,
        host,
    ):
        finish(engine, [request("a", LONG, 4)])
        evict(engine)
        misbehave(host, slow("index", 0.2))
        finish(engine, [request("b", longer, 8)])
        misbehave(host, slow("index", 0.0))
        evict(engine)
        later = finish(engine, [request("c", longer, 8)])["c"]
        assert later.last.cached_tokens == 136
        assert later.last.labels is not None
        assert later.last.labels.tokens[Corruption.DERIVED] >= 1
        settle(engine, host)


def test_with_full_the_same_slowness_harms_nobody() -> None:
    with engine_with_host(sanitizer=SanitizerMode.RECORD) as (engine, host):
        sound = finish(engine, [request("a", LONG, 30)])["a"]
        evict(engine)
        misbehave(host, slow("index", 0.05))
        again = finish(engine, [request("b", LONG, 30)])["b"]
        assert again.tokens == sound.tokens
        assert again.last.labels is None
        settle(engine, host)


def test_stop_ends_what_read_unready_pages() -> None:
    with engine_with_host(load_sync=LoadSync.KV_ONLY, sanitizer=SanitizerMode.STOP) as (
        engine,
        host,
    ):
        finish(engine, [request("a", LONG, 4)])
        evict(engine)
        misbehave(host, slow("index", 0.1))
        ended = finish(engine, [request("b", LONG, 30)])["b"]
        assert ended.reason is FinishReason.ABORT
        assert ended.tokens == []
        settle(engine, host)


@pytest.mark.parametrize(("what", "layer"), [("tails", 0), ("kv", 0), ("kv", 2), ("index", 1)])
def test_a_load_that_fails_fails_its_request_alone(what: str, layer: int) -> None:
    """The neighbour in the same batch goes on; the next one computes the prompt itself."""
    with engine_with_host(pages=100) as (engine, host):
        sound = finish(engine, [request("a", LONG, 12)])
        sound |= finish(engine, [request("n", prompt(30, seed=1), 12, salt="n")])
        for seed in range(4):
            finish(engine, [request(f"evict{seed}", prompt(180, seed + 50), 8)])
        misbehave(host, broken_at(what, layer))
        found = finish(
            engine, [request("b", LONG, 12), request("m", prompt(30, seed=1), 12, salt="m")]
        )
        assert found["b"].reason is FinishReason.ABORT
        assert found["b"].tokens == []
        assert found["b"].last.is_transfer_failure
        assert "host memory is gone" in str(found["b"].last.abort_message)
        assert found["m"].tokens == sound["n"].tokens
        misbehave(host, slow("kv", 0.0))
        again = finish(engine, [request("c", LONG, 12)])["c"]
        assert again.tokens == sound["a"].tokens
        settle(engine, host)
        assert host.failed_loads >= 1


def test_a_load_that_hangs_keeps_its_pages_until_it_ends() -> None:
    """Its request fails in time; nobody gets pages that may still be written to."""
    with engine_with_host() as (engine, host):
        finish(engine, [request("a", LONG, 8)])
        evict(engine)
        readiness = LoadReadiness(LoadSync.FULL, timeout_seconds=0.05)
        host.readiness.__dict__.update(readiness.__dict__)
        stuck = StuckAt("kv", 1)
        misbehave(host, stuck)
        engine.add(request("b", LONG, 8))
        outputs = [output for _ in range(3) for output in engine.step()]
        assert outputs[-1].is_transfer_failure
        assert "nothing arrived in 0.05 s" in str(outputs[-1].abort_message)
        assert engine.scheduler.cache.num_draining == 30 + 2  # the prompt's, and room to write
        other = finish_while_loading(engine, request("other", prompt(20, seed=4), 8))
        assert other.reason is FinishReason.LENGTH
        stuck.go_on.set()
        settle(engine, host)


def test_an_abort_while_loading_frees_nothing_that_is_written_to() -> None:
    with engine_with_host(chunk_tokens=4) as (engine, host):
        finish(engine, [request("a", LONG, 8)])
        evict(engine)
        stuck = StuckAt("index", 0)
        copies = misbehave(host, stuck)
        engine.add(request("b", [*LONG, *prompt(30, seed=3)], 8))
        plan = engine.scheduler.plan()
        leases = [chunk.sequence.lease for chunk in plan.chunks]
        host.begin([lease for lease in leases if lease is not None])
        held = set(leases[0].pages) if leases[0] is not None else set()
        assert engine.abort("b") is not None
        assert engine.scheduler.cache.num_draining == len(held) > 30
        lease = engine.scheduler.cache.open(prompt(20, seed=2), "", 24)
        assert lease is not None
        assert not held & set(lease.pages)
        engine.scheduler.cache.close(lease)
        stuck.go_on.set()
        settle(engine, host)
        assert ("kv", 1) not in copies.seen  # it stopped at the next layer


@pytest.mark.parametrize("host_pages", [0, 10, 60])
@pytest.mark.parametrize("sparse", SPARSE)
def test_many_requests_in_little_memory(sparse: bool, host_pages: int) -> None:
    """Prefixes shared, evicted, loaded, preempted, aborted: answers as alone, nothing lost."""
    source = random.Random(3)
    openings = [prompt(80, seed) for seed in range(4)]
    requests = [
        request(f"r{number}", [*openings[number % 4], *prompt(source.randrange(1, 30), number)], 12)
        for number in range(28)
    ]
    indexer = tiny_indexer() if sparse else None
    calm = tiny_engine(indexer=indexer, index_topk=TOPK, pages=2000)
    expected = {name: one.tokens for name, one in finish(calm, requests).items()}
    engine = tiny_engine(
        indexer=indexer,
        index_topk=TOPK,
        pages=70,
        host_pages=host_pages,
        sanitizer=SanitizerMode.RECORD,
        max_running=4,
    )
    for each in requests:
        engine.add(each)
    aborted = {"r5", "r9", "r20"}
    found: dict[str, list[int]] = {}
    for step in range(3000):
        if not engine.has_work:
            break
        if step in (6, 9, 15):
            engine.abort_and_report(sorted(aborted)[step % 3])
        for output in engine.step():
            found.setdefault(output.request_id, []).extend(output.token_ids)
            assert output.labels is None
            if output.finish_reason is FinishReason.LENGTH:
                assert found[output.request_id] == expected[output.request_id]
    assert not engine.has_work
    assert len(found) >= 25
    if engine.host is None:
        check_pages(engine)
    else:
        settle(engine, engine.host)
        assert engine.host.tier.index.stored > 0
    if host_pages == 60:
        assert engine.host is not None
        assert engine.host.loaded_pages > 0


async def test_who_waits_for_pages_of_a_stuck_load_gets_them_when_it_ends() -> None:
    """The engine's loop sleeps meanwhile; the loader wakes it."""
    with engine_with_host() as (engine, host):
        finish(engine, [request("a", LONG, 8)])
        evict(engine)
        stuck = StuckAt("kv", 0)
        misbehave(host, stuck)
        readiness = LoadReadiness(LoadSync.FULL, timeout_seconds=0.05)
        host.readiness.__dict__.update(readiness.__dict__)
        service = EngineService(engine, 8)
        service.start()
        with pytest.raises(TransferFailed, match="nothing arrived"):
            await answer(service, request("b", LONG, 8))
        big = asyncio.ensure_future(answer(service, request("c", prompt(150, seed=2), 8)))
        await asyncio.sleep(0.2)
        assert not big.done()
        stuck.go_on.set()
        assert len(await asyncio.wait_for(big, 10)) == 8
        service.stop(5.0)
        assert not service.is_alive
        settle(engine, host)


async def answer(service: EngineService, wanted: GenerationRequest) -> list[int]:
    return [token async for output in service.generate(wanted) for token in output.token_ids]
