"""Two ways to the same cut: by sorting, as on a CPU, and by halving, as on a GPU."""

import pytest
import torch

from inference_backend.speculative.verify import (
    SamplingRows,
    bisected_threshold,
    sorted_threshold,
)

VOCAB = 500


def mixed_rows(count: int, source: torch.Generator) -> SamplingRows:
    """Every combination of top-k and top-p on and off occurs."""
    top_k = torch.randint(1, 60, (count,), generator=source)
    top_k[::3] = VOCAB
    top_p = torch.rand(count, generator=source).clamp(min=0.02)
    top_p[::5] = 1.0
    return SamplingRows(torch.ones(count), top_p, top_k, is_filtered=True)


@pytest.mark.parametrize("seed", range(5))
def test_halving_keeps_the_tokens_that_sorting_keeps(seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    logits = torch.randn(64, VOCAB, generator=source) * 3
    rows = mixed_rows(64, source)
    by_sorting, is_settled = sorted_threshold(logits, rows, VOCAB)
    by_halving = bisected_threshold(logits, rows)
    assert is_settled[rows.top_p < 1].all()
    assert torch.equal(logits >= by_sorting[:, None], logits >= by_halving[:, None])


def test_a_few_candidates_are_not_trusted_when_they_hold_too_little() -> None:
    """A flat distribution at top-p 0.9 needs more tokens than were looked at."""
    rows = SamplingRows(torch.ones(1), torch.tensor([0.9]), torch.tensor([VOCAB]), is_filtered=True)
    _, is_settled = sorted_threshold(torch.zeros(1, VOCAB), rows, 16)
    assert not is_settled.item()
