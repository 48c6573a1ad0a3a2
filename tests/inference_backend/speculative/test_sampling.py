"""From logits to a token: the same as transformers does it, and never a token without weight."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from inference_backend.speculative.verify import (
    SamplingRows,
    bisected_threshold,
    distribution,
    draw,
)
from tests.fakes.token_tree import p_value

CASES = [
    (temperature, top_p, top_k)
    for temperature in (0.3, 1.0, 2.5)
    for top_p in (1.0, 0.95, 0.5, 0.01)
    for top_k in (None, 1, 5, 300, 700)
]


def expected(logits: Tensor, temperature: float, top_p: float, top_k: int | None) -> Tensor:
    """What transformers samples from."""
    ids = torch.zeros(1, 1, dtype=torch.long)
    logits = TemperatureLogitsWarper(temperature)(ids, logits)
    if top_k is not None:
        logits = TopKLogitsWarper(top_k)(ids, logits)
    if top_p < 1:
        logits = TopPLogitsWarper(top_p)(ids, logits)
    return logits.softmax(-1)


def one_row(temperature: float, top_p: float, top_k: int | None, vocab: int) -> SamplingRows:
    limit = min(top_k or vocab, vocab)
    return SamplingRows(
        torch.tensor([temperature]),
        torch.tensor([top_p]),
        torch.tensor([limit]),
        is_filtered=top_p < 1 or limit < vocab,
    )


@pytest.mark.parametrize("spread", [0.3, 3.0])
@pytest.mark.parametrize("vocab", [40, 1000])
def test_the_distribution_is_that_of_transformers(vocab: int, spread: float) -> None:
    """Flat and steep; more and fewer tokens than are looked at first."""
    logits = torch.randn(1, vocab, generator=torch.Generator().manual_seed(vocab)) * spread
    for temperature, top_p, top_k in CASES:
        ours = distribution(logits, one_row(temperature, top_p, top_k, vocab))
        theirs = expected(logits, temperature, top_p, min(top_k, vocab) if top_k else None)
        difference = float((ours - theirs).abs().max())
        assert difference < 1e-5, (temperature, top_p, top_k, difference)


@pytest.mark.parametrize("spread", [0.3, 3.0])
@pytest.mark.parametrize("vocab", [40, 1000])
def test_the_gpus_way_of_filtering_agrees(vocab: int, spread: float) -> None:
    """It needs no GPU to be checked: the threshold is found by halving."""
    logits = torch.randn(1, vocab, generator=torch.Generator().manual_seed(vocab)) * spread
    for temperature, top_p, top_k in CASES:
        rows = one_row(temperature, top_p, top_k, vocab)
        cooled = logits / temperature
        threshold = bisected_threshold(cooled, rows)
        ours = cooled.masked_fill(cooled < threshold[:, None], float("-inf")).softmax(-1)
        theirs = expected(logits, temperature, top_p, min(top_k, vocab) if top_k else None)
        difference = float((ours - theirs).abs().max())
        # Logits that differ by less than the last interval are kept or dropped together.
        assert difference < 1e-3, (temperature, top_p, top_k, difference)


def test_rows_keep_their_own_parameters() -> None:
    logits = torch.randn(len(CASES), 1000, generator=torch.Generator().manual_seed(1)) * 2
    together = distribution(
        logits,
        SamplingRows(
            torch.tensor([case[0] for case in CASES]),
            torch.tensor([case[1] for case in CASES]),
            torch.tensor([case[2] or 1000 for case in CASES]),
            is_filtered=True,
        ),
    )
    for row, case in enumerate(CASES):
        alone = distribution(logits[row : row + 1], one_row(*case, 1000))
        assert torch.allclose(together[row], alone[0], atol=1e-6)


def test_temperature_zero_is_the_most_likely_token() -> None:
    logits = torch.tensor([[0.0, 3.0, 2.999, -5.0]])
    assert distribution(logits, one_row(0.0, 1.0, None, 4)).tolist() == [[0, 1, 0, 0]]


@given(
    weights=st.lists(
        st.one_of(st.just(0.0), st.floats(2.0**-20, 1e3, width=32)), min_size=1, max_size=40
    ).filter(any),
    uniform=st.one_of(
        st.just(0.0), st.just(1 - 2.0**-24), st.floats(0, 1, exclude_max=True, width=32)
    ),
)
@settings(max_examples=300, deadline=None)
def test_an_entry_without_weight_is_never_drawn(weights: list[float], uniform: float) -> None:
    index = int(draw(torch.tensor([weights]), torch.tensor([uniform])))
    assert weights[index] > 0


def test_entries_are_drawn_by_their_weight() -> None:
    """Weights need not add up to one."""
    weights = torch.tensor([0.0, 3.0, 0.5, 0.0, 6.5, 0.0])
    count = 50_000
    uniforms = torch.rand(count, generator=torch.Generator().manual_seed(2))
    counts = torch.bincount(draw(weights.expand(count, -1), uniforms), minlength=6)
    assert p_value(counts, weights / weights.sum()) > 1e-3
