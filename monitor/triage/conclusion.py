"""What trials of one request, alone and under load, say about the cause. Pure; exact posteriors.

Both rates have uniform priors, so that after ``hits`` of ``trials`` a rate has the law
Beta(hits + 1, trials - hits + 1).
"""

import enum
import math
from dataclasses import dataclass

from monitor.interval import beta_cdf, clopper_pearson

SURE = 0.95
NOTABLE_RATE = 0.05
"""Anomalies in so many of the answers to one request, alone, are more than any fleet's usual."""
LEAST_ANOMALIES = 2  # alone: one may be the very accident that is looked into


class Cause(enum.StrEnum):
    """The likely one."""

    INPUT = "the model, for this input"
    LOAD = "the infrastructure, under load"
    ANY_INPUT = "the replica, whatever the input"
    BOTH = "this input, and more so under load"
    CORRUPTION = "the infrastructure: the engine's own record shows wrong cache"
    NOT_SEEN = "not seen again"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Trials:
    """How often the request was sent, and how often the answer was anomalous."""

    sent: int
    anomalous: int

    @property
    def interval(self) -> tuple[float, float]:
        """Exact, 95 %."""
        return clopper_pearson(self.anomalous, self.sent)


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The likely cause.

    Attributes:
        confidence: posterior probability of what ``cause`` says; ``None`` where it says nothing.
        load_matters: posterior probability that the rate under load is the higher one.
        input_matters: posterior probability that the rate alone is above ``NOTABLE_RATE``.
        unknown: what could not be told, in words.
    """

    cause: Cause
    confidence: float | None
    load_matters: float
    input_matters: float
    unknown: tuple[str, ...]


def conclude(
    alone: Trials, loaded: Trials, corrupted: int | None, control: Trials | None = None
) -> Conclusion:
    """Weighs the trials.

    Args:
        control: another, harmless request, alone.
        corrupted: anomalous answers whose engine recorded wrong cache; ``None``: it has no record.
    """
    load_matters = probability_higher(alone, loaded)
    input_matters = notable(alone)
    unknown = list(_unknown(alone, loaded, corrupted))
    cause, confidence = _cause(alone, loaded, load_matters, input_matters)
    if cause is Cause.INPUT and control is not None and _is_as_sick(control, alone):
        cause, confidence = Cause.ANY_INPUT, notable(control)
    anomalous = alone.anomalous + loaded.anomalous
    if corrupted and 2 * corrupted > anomalous:
        cause, confidence = Cause.CORRUPTION, None
        unknown.append("why the cache is wrong: the sanitizer names the kind and the writer")
    return Conclusion(cause, confidence, load_matters, input_matters, tuple(unknown))


def _is_as_sick(control: Trials, alone: Trials) -> bool:
    return control.anomalous >= LEAST_ANOMALIES and probability_higher(control, alone) < SURE


def notable(trials: Trials) -> float:
    """Posterior probability that the rate is above ``NOTABLE_RATE``."""
    clean = trials.sent - trials.anomalous
    return 1.0 - beta_cdf(NOTABLE_RATE, trials.anomalous + 1, clean + 1)


def _cause(
    alone: Trials, loaded: Trials, load_matters: float, input_matters: float
) -> tuple[Cause, float | None]:
    if alone.anomalous + loaded.anomalous == 0:
        return Cause.NOT_SEEN, None
    by_load, by_input = load_matters >= SURE, input_matters >= SURE
    by_input = by_input and alone.anomalous >= LEAST_ANOMALIES
    if by_load and by_input:
        return Cause.BOTH, min(load_matters, input_matters)
    if by_load:
        return Cause.LOAD, load_matters
    if by_input:
        return Cause.INPUT, input_matters
    return Cause.UNCLEAR, None


def _unknown(alone: Trials, loaded: Trials, corrupted: int | None) -> list[str]:
    found = []
    if alone.anomalous + loaded.anomalous == 0:
        found.append(
            f"anything rarer than {alone.interval[1]:.1%} alone and {loaded.interval[1]:.1%} under "
            "this load (95 %): send more, or load it as it was loaded then"
        )
    if corrupted is None:
        found.append("silent corruption: this engine keeps no record of wrong cache")
    found.append(
        "what was special about that moment: other users' requests, a replica's earlier state, and "
        "the random numbers of the answer are not the same"
    )
    return found


def probability_higher(low: Trials, high: Trials) -> float:
    """Posterior probability that the rate of ``high`` is above that of ``low``; exact.

    Source: the closed form for whole parameters, as used for A/B tests (E. Miller, "Formulas for
    Bayesian A/B testing", 2014).
    """
    a_low, b_low = low.anomalous + 1, low.sent - low.anomalous + 1
    a_high, b_high = high.anomalous + 1, high.sent - high.anomalous + 1
    total = 0.0
    for index in range(a_high):
        total += math.exp(
            _log_beta(a_low + index, b_low + b_high)
            - math.log(b_high + index)
            - _log_beta(1 + index, b_high)
            - _log_beta(a_low, b_low)
        )
    return min(1.0, total)


def _log_beta(alpha: float, beta: float) -> float:
    return math.lgamma(alpha) + math.lgamma(beta) - math.lgamma(alpha + beta)
