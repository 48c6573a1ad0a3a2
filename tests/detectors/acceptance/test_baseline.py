"""Baselines of healthy acceptance."""

import json
import random

import pytest

from detectors.acceptance.baseline import (
    AcceptanceBaseline,
    damaged_law,
    largest_evidence,
    looping_law,
    prior_weight,
)
from detectors.acceptance.law import mean


def healthy_requests(count: int, steps: int, seed: int) -> list[list[int]]:
    """Requests whose drafts are accepted more or less often: code is not prose."""
    source = random.Random(seed)
    requests = []
    for _ in range(count):
        rate = source.uniform(0.45, 0.8)
        requests.append(
            [next((n for n in range(3) if source.random() > rate), 3) for _ in range(steps)]
        )
    return requests


@pytest.fixture(scope="module")
def learned() -> AcceptanceBaseline:
    return AcceptanceBaseline.learn(healthy_requests(400, 120, 1), 3, model="m", engine="e")


def test_prior_weights_of_all_steps_sum_to_one() -> None:
    assert sum(prior_weight(step) for step in range(1, 200_000)) == pytest.approx(1.0, abs=0.01)


def test_floor_and_ceiling_lie_on_both_sides_of_the_pooled_law(learned: AcceptanceBaseline) -> None:
    assert mean(damaged_law(learned.floor)) < mean(learned.floor) < mean(learned.histogram)
    assert mean(learned.histogram) < mean(learned.ceiling) < mean(looping_law(learned.ceiling))


def test_the_bound_holds_on_requests_it_was_not_learned_from(learned: AcceptanceBaseline) -> None:
    fresh = healthy_requests(1000, 120, 2)
    ratios = learned.low_tables[-1]
    largest = [largest_evidence(each, ratios) for each in fresh]
    for bound in (0.1, 0.01):
        assert sum(value >= 1 / bound for value in largest) <= 1.5 * bound * len(fresh)


def test_percentiles_tell_the_spread_over_requests(learned: AcceptanceBaseline) -> None:
    lengths = learned.request_accept_lengths
    assert list(lengths) == sorted(lengths)
    assert lengths[0] < learned.mean_accept_length < lengths[-1]


def test_survives_json(learned: AcceptanceBaseline) -> None:
    again = AcceptanceBaseline.from_dict(json.loads(json.dumps(learned.to_dict())))
    assert again == learned


def test_unknown_fields_and_wrong_lengths_are_refused(learned: AcceptanceBaseline) -> None:
    with pytest.raises(ValueError, match="flor"):
        AcceptanceBaseline.from_dict({**learned.to_dict(), "flor": 1})
    with pytest.raises(ValueError, match="histogram needs 4"):
        AcceptanceBaseline.from_dict({**learned.to_dict(), "histogram": [0.5, 0.5]})


@pytest.mark.parametrize("num_drafts", [1, 2, 3, 5, 8, 16])
def test_published_stands_in_for_every_width(num_drafts: int) -> None:
    baseline = AcceptanceBaseline.published(num_drafts)
    assert not baseline.is_learned
    assert baseline.lowest_accept_length == pytest.approx(1.4, abs=0.03)
    assert len(baseline.low_tables) == num_drafts + 1
