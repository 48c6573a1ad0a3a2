"""Exact confidence intervals for counts. Plain arithmetic, so that no scipy is needed."""

import math
from collections.abc import Callable

_BISECTIONS = 60
_TERMS = 300
_SMALLEST = 1e-300


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share that was seen ``hits`` times in ``trials``; (0, 1) without any trial.

    Source: Clopper and Pearson, Biometrika 26 (1934): both tails have at least the coverage.
    """
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} hits in {trials} trials")
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _solve(lambda share: beta_cdf(share, hits, trials - hits + 1), tail)
    high = (
        1.0
        if hits == trials
        else _solve(lambda share: beta_cdf(share, hits + 1, trials - hits), 1 - tail)
    )
    return low, high


def _solve(rising: Callable[[float], float], wanted: float) -> float:
    """Where a rising function on 0 to 1 has the value ``wanted``."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if rising(middle) < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def beta_cdf(at: float, alpha: float, beta: float) -> float:
    """Regularised incomplete beta function (Numerical Recipes, 6.4)."""
    if at <= 0:
        return 0.0
    if at >= 1:
        return 1.0
    if at > (alpha + 1) / (alpha + beta + 2):  # there the fraction converges slowly
        return 1.0 - beta_cdf(1 - at, beta, alpha)
    log_front = (
        math.lgamma(alpha + beta)
        - math.lgamma(alpha)
        - math.lgamma(beta)
        + alpha * math.log(at)
        + beta * math.log1p(-at)
    )
    return math.exp(log_front) * _fraction(at, alpha, beta) / alpha


def _fraction(at: float, alpha: float, beta: float) -> float:
    """Its continued fraction, by Lentz' method."""
    upper = 1.0
    lower = 1 / _not_zero(1 - (alpha + beta) * at / (alpha + 1))
    value = lower
    for term in range(1, _TERMS):
        double = 2 * term
        even = term * (beta - term) * at / ((alpha + double - 1) * (alpha + double))
        odd = -(alpha + term) * (alpha + beta + term) * at
        odd /= (alpha + double) * (alpha + double + 1)
        change = 1.0
        for numerator in (even, odd):
            lower = 1 / _not_zero(1 + numerator * lower)
            upper = _not_zero(1 + numerator / upper)
            change = lower * upper
            value *= change
        if abs(change - 1) < 1e-13:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > _SMALLEST else _SMALLEST
