"""The fusion's plain numbers, as ``specwatch train`` writes them."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from importlib import resources
from typing import Any, Self

from detectors.fusion.features import FEATURES


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """A logistic model over ``FEATURES``, and the scores at which it acts.

    A score is the log-odds that the stream's cache is damaged, for traffic in which ``prior`` of
    the streams are.

    Attributes:
        weights: one a feature, in its own unit.
        alarm_score: the stream is stopped at it.
        watch_score: text is held back from it on.
        most_unbelieved_bits: evidence for low acceptance counts no more than this while nothing
            shows that the drafter works: with text that reads well it then stays under the alarm.
        trained_on: what it was learned from, in words.
    """

    weights: tuple[float, ...]
    intercept: float
    alarm_score: float
    watch_score: float
    most_unbelieved_bits: float
    prior: float
    trained_on: str

    def score(self, features: tuple[float, ...]) -> float:
        """Log-odds of damage."""
        total = self.intercept
        for weight, value in zip(self.weights, features, strict=True):
            total += weight * value
        return total

    def to_dict(self) -> dict[str, Any]:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**values, "weights": dict(zip(FEATURES, self.weights, strict=True))}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Reads what ``to_dict`` gave.

        Raises:
            ValueError: a field or a weight is missing or unknown.
        """
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            wrong = ", ".join(sorted(names.symmetric_difference(values)))
            raise ValueError(f"the fusion's weights have other fields than expected: {wrong}")
        if set(values["weights"]) != set(FEATURES):
            raise ValueError(f"the fusion needs one weight for each of: {', '.join(FEATURES)}")
        ordered = tuple(float(values["weights"][name]) for name in FEATURES)
        return cls(**{**values, "weights": ordered})


def probability(score: float) -> float:
    """Of log-odds."""
    return 1.0 / (1.0 + math.exp(-score)) if score > -700 else 0.0


@cache
def packaged_weights() -> FusionWeights:
    """Those that come with specwatch."""
    text = resources.files("detectors.fusion").joinpath("weights.json").read_text("utf-8")
    return FusionWeights.from_dict(json.loads(text))
