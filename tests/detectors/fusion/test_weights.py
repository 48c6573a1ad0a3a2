"""The fusion's numbers."""

import json

import pytest

from detectors.fusion.features import FEATURES
from detectors.fusion.weights import FusionWeights, packaged_weights, probability

SOME = FusionWeights((0.5, 1.0, 1.0, 0.2, 0.1, 0.3), -7.0, 2.0, -1.0, 10.0, 1e-3, "two streams")


def test_score_is_the_weighted_sum() -> None:
    assert SOME.score((10.0, 2.0, 0.0, 0.0, 1.0, 0.0)) == pytest.approx(-7 + 5 + 2 + 0.1)


def test_survives_json() -> None:
    assert FusionWeights.from_dict(json.loads(json.dumps(SOME.to_dict()))) == SOME


def test_wrong_fields_are_named() -> None:
    with pytest.raises(ValueError, match="alarm_at"):
        FusionWeights.from_dict({**SOME.to_dict(), "alarm_at": 1})
    values = SOME.to_dict()
    del values["weights"]["text"]
    with pytest.raises(ValueError, match="one weight for each of: low_acceptance, text"):
        FusionWeights.from_dict(values)


@pytest.mark.parametrize(("score", "chance"), [(0.0, 0.5), (-800.0, 0.0), (40.0, 1.0)])
def test_probability_of_any_score(score: float, chance: float) -> None:
    assert probability(score) == pytest.approx(chance)


def test_the_packaged_ones_stop_nothing_on_dead_drafts_alone() -> None:
    """All evidence for low acceptance that may be the drafter's, and text without a sign."""
    weights = packaged_weights()
    silent = (weights.most_unbelieved_bits, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert weights.score(silent) < weights.alarm_score
    assert weights.watch_score < weights.alarm_score
    assert all(weight >= 0 for weight in weights.weights)
    assert len(weights.weights) == len(FEATURES)
