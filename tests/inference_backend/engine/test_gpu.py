"""The GPU's own ways (Triton kernels, CUDA graphs) give what the plain ones give."""

import asyncio
from typing import Any

import pytest
import torch

from inference_backend.engine.faults import FaultKind, FaultPlan
from inference_backend.kv.attention import TorchAttention
from inference_backend.kv.group import Group
from inference_backend.kv.labels import Corruption
from inference_backend.kv.sanitizer import SanitizerMode
from inference_backend.kv.store import KvStore
from tests.fakes.engine_runs import finish, prompt, recomputed, request
from tests.fakes.pair import make_pair
from tests.fakes.tiny_model import SHAPE, tiny_engine, tiny_model

pytestmark = pytest.mark.gpu
MODEL = tiny_model()


@pytest.mark.parametrize("cuda_graphs", [False, True])
@pytest.mark.parametrize("num_drafts", [0, 3])
def test_greedy_answers_equal_those_of_the_cpu(num_drafts: int, cuda_graphs: bool) -> None:
    """Few pages: with preemption, and batches of every size."""
    engine = tiny_engine(num_drafts=num_drafts, pages=30, device="cuda", cuda_graphs=cuda_graphs)
    found = finish(engine, [request(str(i), prompt(6 + i, i), 40) for i in range(6)])
    assert engine.scheduler.preemptions > 0
    for i in range(6):
        assert found[str(i)].tokens == recomputed(tiny_model(), prompt(6 + i, i), 40)


@pytest.mark.parametrize("kind", [{}, {"top_p": 0.9}, {"top_k": 5}])
def test_a_seed_gives_the_same_answer_with_and_without_graphs(kind: dict[str, Any]) -> None:
    answers = []
    for cuda_graphs in (False, True):
        engine = tiny_engine(device="cuda", cuda_graphs=cuda_graphs)
        requests = [request("greedy", prompt(5), 30)]
        requests += [
            request(str(seed), prompt(9), 30, temperature=0.8, seed=seed, **kind)
            for seed in range(4)
        ]
        found = finish(engine, requests)
        answers.append({name: generation.tokens for name, generation in found.items()})
    assert answers[0] == answers[1]


@pytest.mark.parametrize("width", [1, 4, 37])
@pytest.mark.parametrize("page_size", [4, 16])
def test_the_kernel_attends_as_torch_does(page_size: int, width: int) -> None:
    from inference_backend.kv.triton_attention import TritonAttention  # noqa: PLC0415 (CUDA only)

    device = torch.device("cuda")
    source = torch.Generator(device).manual_seed(0)
    starts = torch.tensor([0, 7, 70], device=device)
    table = torch.randperm(90, device=device, generator=source).add(1).view(3, 30)
    results = []
    for backend in (TorchAttention, TritonAttention):
        source.manual_seed(1)
        store = KvStore(SHAPE, 90, page_size, device, torch.float32)
        store.data.normal_(generator=source)
        query, key, value = (
            torch.randn(3 * width, heads, 16, device=device, generator=source)
            for heads in (SHAPE.num_heads, SHAPE.num_kv_heads, SHAPE.num_kv_heads)
        )
        attend = backend(store).bind(Group(table, starts, width))
        results.append((attend(1, query, key, value), store.data))
    assert torch.allclose(results[0][0], results[1][0], atol=1e-4)
    assert torch.equal(results[0][1], results[1][1])


@pytest.mark.parametrize("cuda_graphs", [False, True])
def test_the_kernels_flag_what_the_plain_check_flags(*, cuda_graphs: bool) -> None:
    """Nothing while all is well; a page that was never filled; another request's write."""
    engine = tiny_engine(
        device="cuda", cuda_graphs=cuda_graphs, sanitizer=SanitizerMode.RECORD, pages=60
    )
    names = "abcdefgh"
    healthy = finish(engine, [request(name, prompt(18, ord(name)), 40) for name in names])
    assert all(each.last.labels is None for each in healthy.values())
    for name in names:
        assert healthy[name].tokens == recomputed(MODEL, prompt(18, ord(name)), 40)
    for kind, expected in (
        (FaultKind.ZERO_LAYERS, Corruption.STALE),
        (FaultKind.FOREIGN_PAGES, Corruption.FOREIGN),
    ):
        engine.set_faults(FaultPlan(kind=kind, rate=1.0, after_tokens=4, seed=1))
        wanted = [request(f"{kind}-{n}", prompt(18, 100 + n), 40) for n in range(4)]
        found = finish(engine, wanted)
        engine.set_faults(None)
        onsets = {r.request_id: r.damaged_from_token for r in engine.fault_records()}
        for name, each in found.items():
            if name in onsets:
                assert each.last.labels is not None
                assert expected in each.last.labels.tokens
                assert each.last.labels.first_token == onsets[name]


async def test_a_pair_on_one_gpu_answers_as_one_engine() -> None:
    """Two threads, two streams, copies on a third: nothing is read before it is there."""
    async with make_pair(device="cuda") as pair:
        prompts = {f"r{n}": prompt(9 + 5 * (n % 12), n) for n in range(24)}
        answers = await asyncio.gather(*(pair.answer(name, p) for name, p in prompts.items()))
        for tokens, answer in zip(prompts.values(), answers, strict=True):
            assert answer == recomputed(MODEL, tokens, 24)
        assert pair.decode.sanitizer_records() == []
        await pair.settle()
