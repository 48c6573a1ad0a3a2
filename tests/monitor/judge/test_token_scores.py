"""Surprisals and ranks from logits."""

import math

import pytest
import torch

from monitor.judge.token_scores import score_tokens


def test_a_sure_model_is_not_surprised_by_what_it_expects() -> None:
    logits = torch.tensor([[0.0, 50.0, 0.0], [50.0, 0.0, 0.0]])
    found = score_tokens(logits, torch.tensor([1, 2]))
    assert found.surprisals == pytest.approx([0.0, 50.0], abs=1e-4)
    assert found.ranks == (0, 1)


def test_a_clueless_model_is_surprised_by_the_logarithm_of_its_vocabulary() -> None:
    found = score_tokens(torch.zeros(4, 1000), torch.arange(4))
    assert found.surprisals == pytest.approx([math.log(1000)] * 4, rel=1e-5)
    assert found.ranks == (0,) * 4  # nothing was likelier


def test_ranks_are_places_in_the_order_of_the_logits() -> None:
    logits = torch.randn(50, 300, generator=torch.Generator().manual_seed(1))
    ids = torch.randint(300, (50,), generator=torch.Generator().manual_seed(2))
    order = logits.argsort(dim=1, descending=True)
    found = score_tokens(logits, ids)
    assert all(order[row, rank] == ids[row] for row, rank in enumerate(found.ranks))
    expected = torch.nn.functional.cross_entropy(logits, ids, reduction="none")
    assert found.surprisals == pytest.approx(expected.tolist(), rel=1e-5)


def test_half_precision_logits_are_summed_in_full() -> None:
    logits = torch.zeros(1, 40_000, dtype=torch.bfloat16)
    found = score_tokens(logits, torch.tensor([7]))
    assert found.surprisals == pytest.approx([math.log(40_000)], rel=1e-5)
