"""Sampled answers belong to their seed, not to the neighbours in the batch."""

from typing import Any

import pytest

from tests.fakes.engine_runs import Generation, finish, prompt, request
from tests.fakes.tiny_model import tiny_engine

SAMPLING: dict[str, dict[str, Any]] = {
    "hot": {"temperature": 1.0},
    "cool": {"temperature": 0.4, "top_p": 0.9},
    "few": {"temperature": 1.3, "top_k": 5},
}


def alone(num_drafts: int, sampling: dict[str, Any], seed: int) -> Generation:
    engine = tiny_engine(num_drafts=num_drafts)
    return finish(engine, [request("a", prompt(9), 30, seed=seed, **sampling)])["a"]


@pytest.mark.parametrize("num_drafts", [0, 3])
@pytest.mark.parametrize("kind", SAMPLING)
def test_a_seed_gives_the_same_answer_with_any_neighbours(num_drafts: int, kind: str) -> None:
    """Greedy ones, unseeded ones, and others that come and go."""
    engine = tiny_engine(num_drafts=num_drafts)
    neighbours = [
        request("greedy", prompt(4), 7),
        request("unseeded", prompt(30, 1), 40, temperature=1.0, top_k=7),
        request("other", prompt(12, 2), 19, temperature=0.7, seed=3),
    ]
    mine = request("mine", prompt(9), 30, seed=42, **SAMPLING[kind])
    found = finish(engine, [*neighbours, mine])
    assert found["mine"].tokens == alone(num_drafts, SAMPLING[kind], 42).tokens


def test_different_seeds_give_different_answers() -> None:
    answers = {tuple(alone(3, SAMPLING["hot"], seed).tokens) for seed in range(5)}
    assert len(answers) == 5


@pytest.mark.parametrize("seed", [-1, -(2**63), 2**63 - 1, 0])
def test_every_seed_of_64_bits_is_good(seed: int) -> None:
    assert alone(3, SAMPLING["hot"], seed).tokens == alone(3, SAMPLING["hot"], seed).tokens


def test_sampling_with_drafts_accepts_some_of_them() -> None:
    counters = alone(3, SAMPLING["cool"], 1).last.counters
    assert 0 < counters.correct_drafts < counters.proposed_drafts


def test_a_greedy_request_beside_sampling_ones_is_still_greedy() -> None:
    engine = tiny_engine()
    expected = finish(engine, [request("a", prompt(9))])["a"].tokens
    found = finish(
        engine, [request("a", prompt(9)), request("b", prompt(8), temperature=1.0, top_p=0.8)]
    )
    assert found["a"].tokens == expected
