"""Sampling with drafts has the target's distribution; broken acceptance rules do not pass."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from inference_backend.speculative.verify import (
    DraftChoices,
    draw,
    one_hot,
    verify,
    verify_greedy,
)
from tests.fakes.token_tree import Settings, TokenTree, p_value

Verify = Callable[[Tensor, DraftChoices, Tensor], tuple[Tensor, Tensor]]
ROWS = 60_000
PASS, FAIL = 1e-3, 1e-12
"""A right rule stays far above the first, a wrong one far below the second."""

SETTINGS = {
    "plain": Settings(),
    "cool": Settings(temperature=0.6),
    "hot": Settings(temperature=1.7),
    "top-p": Settings(top_p=0.8),
    "top-k": Settings(top_k=3),
    "all": Settings(temperature=0.8, top_p=0.9, top_k=4),
    "few drafts": Settings(draft_vocabulary=(4, 0, 3)),
    "few drafts, top-p": Settings(temperature=0.7, top_p=0.7, draft_vocabulary=(2, 5)),
}


def agreement(rule: Verify, settings: Settings, seed: int = 0) -> float:
    """p-value of the first three tokens against the target's own distribution."""
    tree = TokenTree(settings)
    source = torch.Generator().manual_seed(seed)
    drafts = tree.propose(ROWS, source)
    accepted, tokens = rule(
        tree.after(drafts.tokens), drafts, torch.rand(ROWS, 3, generator=source)
    )
    answers = tree.complete(accepted, tokens, source)
    counts = torch.bincount(tree.number(answers), minlength=tree.vocab**3)
    return p_value(counts, tree.joint())


def accepts_always(target: Tensor, drafts: DraftChoices, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    return verify(target, drafts, torch.zeros_like(uniforms))


def ignores_the_draft_probability(
    target: Tensor, drafts: DraftChoices, uniforms: Tensor
) -> tuple[Tensor, Tensor]:
    """Accepts with the target's probability alone, and draws from the target when it refuses."""
    certain = one_hot(drafts.index.flatten(), drafts.probabilities.shape[-1])
    sure = DraftChoices(
        drafts.tokens, certain.view_as(drafts.probabilities), drafts.index, drafts.vocabulary
    )
    accepted, tokens = verify(target, sure, uniforms)
    return accepted, _draw_again(target, accepted, tokens, uniforms)


def does_not_subtract(
    target: Tensor, drafts: DraftChoices, uniforms: Tensor
) -> tuple[Tensor, Tensor]:
    """The right acceptance, but after a refusal it draws from the target itself."""
    accepted, tokens = verify(target, drafts, uniforms)
    return accepted, _draw_again(target, accepted, tokens, uniforms)


def refuses_always(target: Tensor, drafts: DraftChoices, uniforms: Tensor) -> tuple[Tensor, Tensor]:
    """Draws the first token from the residual all the same."""
    shifted = torch.cat([torch.full_like(uniforms[:, :2], 1e6), uniforms[:, 2:]], 1)
    return verify(target, drafts, shifted)


def uses_one_number_twice(
    target: Tensor, drafts: DraftChoices, uniforms: Tensor
) -> tuple[Tensor, Tensor]:
    return verify(target, drafts, uniforms[:, :1].expand(-1, 3))


def _draw_again(target: Tensor, accepted: Tensor, tokens: Tensor, uniforms: Tensor) -> Tensor:
    row = torch.arange(len(accepted))
    tokens = tokens.clone()
    tokens[row, accepted] = draw(target[row, accepted], uniforms[:, 2])
    return tokens


BROKEN = [
    accepts_always,
    ignores_the_draft_probability,
    does_not_subtract,
    refuses_always,
    uses_one_number_twice,
]


@pytest.mark.parametrize("name", SETTINGS)
def test_what_comes_out_has_the_targets_distribution(name: str) -> None:
    assert agreement(verify, SETTINGS[name]) > PASS


@pytest.mark.parametrize("name", ["plain", "all", "few drafts"])
@pytest.mark.parametrize("rule", BROKEN)
def test_the_same_check_fails_for_a_broken_rule(rule: Verify, name: str) -> None:
    assert agreement(rule, SETTINGS[name]) < FAIL


def test_the_check_is_not_too_strict() -> None:
    """Twenty right samples: about one below 0.05 is expected."""
    values = [agreement(verify, SETTINGS["plain"], seed) for seed in range(20)]
    assert min(values) > PASS
    assert sum(value < 0.05 for value in values) <= 4


def test_equal_distributions_accept_every_draft() -> None:
    """Also where rounding leaves no residual at all."""
    tree = TokenTree(Settings())
    source = torch.Generator().manual_seed(3)
    tree.draft = tree.target[:2]
    drafts = tree.propose(2000, source)
    accepted, tokens = verify(
        tree.after(drafts.tokens), drafts, torch.rand(2000, 3, generator=source)
    )
    assert bool((accepted == 2).all())
    assert torch.equal(tokens[:, :2], drafts.tokens)


def test_a_draft_that_the_target_excludes_is_never_kept() -> None:
    """Even with a random number of exactly zero."""
    target = torch.tensor([[[0.0, 1.0], [0.5, 0.5]]])
    drafts = DraftChoices(
        torch.tensor([[0]]), torch.tensor([[[1.0, 0.0]]]), torch.tensor([[0]]), None
    )
    accepted, tokens = verify(target, drafts, torch.zeros(1, 2))
    assert accepted.tolist() == [0]
    assert tokens[0, 0] == 1


def test_without_drafts_the_target_is_drawn_from() -> None:
    target = torch.tensor([[[0.0, 1.0, 0.0]]])
    none = DraftChoices(
        torch.zeros(1, 0, dtype=torch.long),
        torch.zeros(1, 0, 3),
        torch.zeros(1, 0, dtype=torch.long),
        None,
    )
    accepted, tokens = verify(target, none, torch.tensor([[0.9]]))
    assert (accepted.tolist(), tokens.tolist()) == ([0], [[1]])


@pytest.mark.parametrize(
    ("drafts", "expected"), [([5, 6, 7], 3), ([5, 6, 0], 2), ([0, 6, 7], 0), ([5, 0, 7], 1)]
)
def test_greedy_keeps_drafts_up_to_the_first_difference(drafts: list[int], expected: int) -> None:
    best = torch.tensor([[5, 6, 7, 8]])
    accepted, tokens = verify_greedy(best, torch.tensor([drafts]))
    assert accepted.tolist() == [expected]
    assert tokens[0, : expected + 1].tolist() == [5, 6, 7, 8][: expected + 1]


def test_greedy_rows_in_a_sampling_batch_agree_with_the_greedy_rule() -> None:
    """One-hot target and one-hot drafts."""
    source = torch.Generator().manual_seed(5)
    best = torch.randint(0, 4, (500, 4), generator=source)
    tokens = torch.randint(0, 4, (500, 3), generator=source)
    target = one_hot(best.flatten(), 4).view(500, 4, 4)
    drafts = DraftChoices(tokens, one_hot(tokens.flatten(), 4).view(500, 3, 4), tokens, None)
    accepted, out = verify(target, drafts, torch.rand(500, 4, generator=source))
    wanted, expected = verify_greedy(best, tokens)
    assert torch.equal(accepted, wanted)
    for row, count in enumerate(accepted.tolist()):
        assert torch.equal(out[row, : count + 1], expected[row, : count + 1])
