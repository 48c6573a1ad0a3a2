"""The whole engine samples from the target's distribution, drafts and all."""

from typing import Any

import pytest
import torch
from torch import Tensor

from inference_backend.model.transformer import Transformer
from inference_backend.speculative.unroll import target_hidden
from inference_backend.speculative.verify import SamplingRows, distribution
from tests.fakes.engine_runs import finish, prompt, request
from tests.fakes.tiny_model import tiny_engine, tiny_model
from tests.fakes.token_tree import p_value

COUNT, LENGTH, CHOICES = 400, 3, 3
TEMPERATURE = 1.5


@torch.inference_mode()
def next_probabilities(model: Transformer, tokens: list[int]) -> Tensor:
    hidden = target_hidden(model, torch.tensor([tokens]))[0, -1:]
    vocab = model.shape.vocab_size
    rows = SamplingRows(
        torch.tensor([TEMPERATURE]), torch.ones(1), torch.tensor([CHOICES]), is_filtered=True
    )
    return distribution(model.logits(hidden), rows).view(vocab)


def answers(model: Transformer, start: list[int]) -> dict[tuple[int, ...], float]:
    """Every possible answer and its probability."""
    known: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(LENGTH):
        longer: dict[tuple[int, ...], float] = {}
        for answer, probability in known.items():
            after = next_probabilities(model, [*start, *answer])
            for token in after.nonzero()[:, 0].tolist():
                longer[*answer, token] = probability * float(after[token])
        known = longer
    return known


@pytest.mark.parametrize("draft_vocabulary", [None, 40])
def test_answers_come_as_often_as_the_target_wants(
    draft_vocabulary: int | None,
) -> None:
    engine = tiny_engine(
        draft_vocabulary=draft_vocabulary,
        max_running=128,
        pages=1000,
        chunk_tokens=1000,
        hidden_share=0.3,
    )
    sampling: dict[str, Any] = {"temperature": TEMPERATURE, "top_k": CHOICES}
    requests = [
        request(str(seed), prompt(8), LENGTH, seed=seed, **sampling) for seed in range(COUNT)
    ]
    found = finish(engine, requests)
    expected = answers(tiny_model(), prompt(8))
    assert len(expected) == CHOICES**LENGTH
    order = {answer: place for place, answer in enumerate(expected)}
    counts = torch.zeros(len(order), dtype=torch.long)
    for generation in found.values():
        counts[order[tuple(generation.tokens)]] += 1
    assert p_value(counts, torch.tensor(list(expected.values()))) > 1e-3
    kept = sum(generation.last.counters.correct_drafts for generation in found.values())
    assert kept > COUNT / 20


def test_the_check_would_notice_another_temperature() -> None:
    """Otherwise the test above would show little."""
    expected = answers(tiny_model(), prompt(8))
    probabilities = torch.tensor(list(expected.values()))
    warmer = probabilities ** (1 / 2)
    counts = (COUNT * warmer / warmer.sum()).round().long()
    assert p_value(counts, probabilities) < 1e-3
