"""Sparse attention and the host tier on a GPU: streams, events, CUDA graphs."""

import random

import pytest
import torch

from inference_backend.engine.engine import Engine
from inference_backend.engine.request import GenerationRequest
from inference_backend.hicache.host_cache import HostCache
from inference_backend.hicache.readiness import LoadSync
from inference_backend.kv.labels import Corruption
from inference_backend.kv.sanitizer import SanitizerMode
from tests.fakes.copies import StuckAt, slow
from tests.fakes.engine_runs import finish, prompt, request
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

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("cuda_graphs", [False, True])
@pytest.mark.parametrize("num_drafts", [0, 3])
def test_sparse_answers_equal_those_of_the_cpu(num_drafts: int, cuda_graphs: bool) -> None:
    """Prompts shorter and longer than top-k, in one batch; the sanitizer finds nothing."""
    requests = [request(str(i), prompt(20 + 15 * i, i), 30) for i in range(5)]
    calm = tiny_engine(indexer=tiny_indexer(), index_topk=TOPK, num_drafts=num_drafts)
    expected = {name: one.tokens for name, one in finish(calm, requests).items()}
    engine = tiny_engine(
        indexer=tiny_indexer(device="cuda"),
        index_topk=TOPK,
        num_drafts=num_drafts,
        device="cuda",
        cuda_graphs=cuda_graphs,
        sanitizer=SanitizerMode.RECORD,
    )
    found = finish(engine, requests)
    assert {name: one.tokens for name, one in found.items()} == expected
    assert all(one.last.labels is None for one in found.values())


@pytest.mark.parametrize("cuda_graphs", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
def test_a_prefix_from_the_host_gives_the_same_answer(sparse: bool, cuda_graphs: bool) -> None:
    """Slow or not; the sanitizer finds nothing."""
    with engine_with_host(
        sparse=sparse, device="cuda", cuda_graphs=cuda_graphs, sanitizer=SanitizerMode.RECORD
    ) as (engine, host):
        first = finish(engine, [request("a", LONG, 30)])["a"]
        for number, what in enumerate(("none", "kv", "index", "tails")):
            evict(engine)
            misbehave(host, slow(what, 0.03))
            again = finish(engine, [request(f"b{number}", LONG, 30)])[f"b{number}"]
            assert again.tokens == first.tokens
            assert again.last.cached_tokens == 116
            assert again.last.labels is None
        settle(engine, host)
        assert host.loaded_pages >= 4 * 29  # the others come back too


def test_an_index_that_never_arrives_is_seen() -> None:
    """As on the CPU, with the decoding steps in graphs."""
    with engine_with_host(
        shape=ONE_LAYER,
        num_drafts=0,
        device="cuda",
        load_sync=LoadSync.KV_ONLY,
        sanitizer=SanitizerMode.RECORD,
    ) as (engine, host):
        sound = finish(engine, [request("a", LONG, 40)])["a"]
        evict(engine)
        stuck = StuckAt("index", 0)
        misbehave(host, stuck)
        wrong = finish_while_loading(engine, request("b", LONG, 40))
        stuck.go_on.set()
        assert wrong.last.labels is not None
        assert wrong.last.labels.tokens == {Corruption.UNREADY: 40}
        assert wrong.tokens != sound.tokens
        settle(engine, host)


def test_many_requests_in_little_memory() -> None:
    source = random.Random(3)
    openings = [prompt(80, seed) for seed in range(4)]
    requests = [
        request(f"r{number}", [*openings[number % 4], *prompt(source.randrange(1, 30), number)], 12)
        for number in range(60)
    ]
    calm = tiny_engine(indexer=tiny_indexer(), index_topk=TOPK, pages=2000)
    expected = {name: one.tokens for name, one in finish(calm, requests).items()}
    with engine_with_host(
        device="cuda", pages=70, host_pages=60, sanitizer=SanitizerMode.RECORD, max_running=4
    ) as (engine, host):
        found = finish_all(engine, host, requests)
        assert found == expected
        assert host.loaded_pages > 0


def finish_all(
    engine: Engine, host: HostCache, requests: list[GenerationRequest]
) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for each in requests:
        engine.add(each)
    while engine.has_work:
        for output in engine.step():
            found.setdefault(output.request_id, []).extend(output.token_ids)
            assert output.labels is None
    torch.cuda.synchronize()
    settle(engine, host)
    return found
