"""Whatever the number of ranks and the layout: the result is that of one engine."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from inference_backend.engine.engine import Engine
from inference_backend.errors import InvalidRequest
from inference_backend.kv.sanitizer import SanitizerMode
from inference_backend.parallel.accounting import PageBytes, staging_bytes, stored_bytes
from inference_backend.parallel.owners import KvLayout, LayerOwners
from tests.fakes.engine_runs import finish, prompt, request
from tests.fakes.rank_threads import PAGE_SIZE, Case, Ranks, listen, running
from tests.fakes.tiny_indexer import tiny_indexer
from tests.fakes.tiny_model import SHAPE, tiny_engine

FIVE = replace(SHAPE, num_layers=5)  # on 4 and on 2 ranks: not all have the same number
CASES = [
    Case(ranks=ranks, layout=layout, sparse=sparse, ahead=ahead, shape=FIVE, chunk_tokens=48)
    for ranks, layout, sparse in itertools.product((1, 2, 4), KvLayout, (False, True))
    for ahead in ((0, 1) if layout is KvLayout.SPLIT and ranks > 1 else (1,))
]


def name_of(case: Case) -> str:
    kind = "sparse" if case.sparse else "dense"
    return f"{case.ranks}-{case.layout}-{kind}-ahead{case.ahead}"


@pytest.fixture(scope="module", params=CASES, ids=name_of)
def ranks(request: pytest.FixtureRequest) -> Iterator[tuple[Case, Ranks]]:
    with running(request.param) as group:
        yield request.param, group


def alone(case: Case, *, page_size: int = PAGE_SIZE) -> Engine:
    """The plain engine."""
    return tiny_engine(
        case.shape,
        num_drafts=case.num_drafts,
        pages=case.pages,
        page_size=page_size,
        chunk_tokens=case.chunk_tokens,
        indexer=tiny_indexer(case.shape) if case.sparse else None,
        index_topk=case.topk,
    )


def extend(engine: Engine, ids: list[int], count: int) -> list[int]:
    """Greedy tokens, each as the answer to a prompt of all before it, most of which is cached."""
    text = list(ids)
    for index in range(count):
        name = f"extend{index}"
        done = finish(engine, [request(name, text, 1)])[name]
        if index:
            assert done.last.cached_tokens == (len(text) - 1) // PAGE_SIZE * PAGE_SIZE
        text += done.tokens
    return text[len(ids) :]


def same(ours: list[Tensor], theirs: list[Tensor]) -> None:
    assert [each.shape for each in ours] == [each.shape for each in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-3, rtol=0)


def test_tokens_and_logits_are_those_of_one_engine(ranks: tuple[Case, Ranks]) -> None:
    """A prompt of three chunks, then six more that find nearly all of it, then 90 % of it."""
    case, group = ranks
    ours, single = group.engine, alone(case)
    seen, expected = listen(ours), listen(single)
    ids = prompt(130, seed=21)
    tokens = extend(single, ids, 6)
    assert extend(ours, ids, 6) == tokens
    assert len(set(tokens)) > 2
    longer = [*ids, *prompt(15, seed=22)]
    for engine in (ours, single):
        done = finish(engine, [request("longer", longer, 1)])["longer"]
        assert done.last.cached_tokens == 128
    same(seen, expected)
    assert ours.sanitizer_records() == []


def test_several_prompts_in_one_pass(ranks: tuple[Case, Ranks]) -> None:
    """Of different lengths, with and without a prefix that is cached, one of a single token."""
    case, group = ranks
    ours, single = group.engine, alone(case)
    known = prompt(40, seed=31)
    for engine in (ours, single):
        finish(engine, [request("known", known, 1)])
    seen, expected = listen(ours), listen(single)
    texts = [[*known, *prompt(9, seed=32)], prompt(1, seed=33), prompt(17, seed=34), known[:38]]
    answers = [
        {
            name: done.tokens
            for name, done in finish(
                engine, [request(f"r{index}", text, 1) for index, text in enumerate(texts)]
            ).items()
        }
        for engine in (ours, single)
    ]
    assert answers[0] == answers[1]
    assert len(answers[0]) == len(texts)
    same(seen, expected)
    assert ours.sanitizer_records() == []


def test_stored_bytes_are_those_of_the_accounting(ranks: tuple[Case, Ranks]) -> None:
    """Measured from the tensors: about a share of the layers, and the staging area."""
    case, group = ranks
    store = group.leader.rank.store
    size = PageBytes(
        store.blocks.shape[2], 0 if store.index is None else store.index.blocks.shape[2]
    )
    owners = LayerOwners(case.shape.num_layers, case.ranks)
    staged = case.staged_tokens // PAGE_SIZE
    for rank in group.all:
        assert rank.channel is not None
        number, scratch = rank.channel.rank, 1
        stored = stored_bytes(size, owners, case.layout, number, case.pages + scratch)
        staging = staging_bytes(size, case.layout, staged + scratch)
        assert rank.stored_bytes == stored + staging


@pytest.mark.parametrize("layout", list(KvLayout))
def test_more_ranks_than_layers(layout: KvLayout) -> None:
    """One stores nothing, and computes its rows all the same."""
    case = Case(ranks=3, layout=layout, shape=replace(SHAPE, num_layers=2), sparse=True)
    ids = prompt(70, seed=41)
    tokens = extend(alone(case), ids, 3)
    with running(case) as group:
        assert extend(group.engine, ids, 3) == tokens


@pytest.mark.parametrize("layout", list(KvLayout))
def test_the_draft_heads_layer_is_the_first_ranks(layout: KvLayout) -> None:
    """Its cache and the states that it continues from are what one engine has."""
    case = Case(layout=layout, num_drafts=2, shape=replace(SHAPE, num_layers=3), chunk_tokens=16)
    ids, single = prompt(60, seed=51), alone(case)
    with running(case) as group:
        for engine in (group.engine, single):
            finish(engine, [request("a", ids, 1)])
        ours, theirs = group.engine.runner.store, single.runner.store
        pages, others = (
            engine.scheduler.cache.prefix.match(ids, "") for engine in (group.engine, single)
        )
        assert len(pages) == 15
        assert torch.allclose(ours.data[-1, pages], theirs.data[-1, others], atol=1e-4)
        assert torch.allclose(ours.tail_hidden[pages], theirs.tail_hidden[others], atol=1e-4)
        assert group.workers[0].rank.store.tail_hidden.numel() == 0


def test_a_parallel_engine_computes_prompts_only_and_those_that_can_be_staged() -> None:
    with running(Case(sanitizer=SanitizerMode.OFF, staged_tokens=40)) as group:
        with pytest.raises(InvalidRequest, match="prompts only"):
            group.engine.add(request("a", prompt(9), 2))
        with pytest.raises(InvalidRequest, match="more than the 40 tokens"):
            group.engine.add(request("a", prompt(40), 1))
        assert finish(group.engine, [request("b", prompt(9), 1)])["b"].tokens
