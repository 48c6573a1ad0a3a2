"""Shares with exact confidence intervals, from counts. Pure."""

import math
from collections.abc import Callable
from dataclasses import dataclass

CONFIDENCE = 0.95
_BISECTIONS = 60  # halves of 1: beyond what a float can tell apart
_TERMS = 10_000
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Share:
    """``part`` out of ``whole``, and the Clopper-Pearson interval of the true share.

    Attributes:
        estimate: ``None`` without data; the interval is then from 0 to 1.
        low, high: 95 % interval: true in at least so many cases, whatever the true share is.
    """

    part: int
    whole: int
    estimate: float | None
    low: float
    high: float


def share(part: int, whole: int, confidence: float = CONFIDENCE) -> Share:
    """The share of ``part`` in ``whole`` (Clopper and Pearson, Biometrika 26, 1934)."""
    if whole == 0:
        return Share(part, whole, None, 0.0, 1.0)
    tail = (1 - confidence) / 2
    low, high = 0.0, 1.0
    if part > 0:
        low = _solve(lambda p: 1 - tail_below(part, whole, p), tail, is_rising=True)
    if part < whole:
        high = _solve(lambda p: tail_below(part + 1, whole, p), tail, is_rising=False)
    return Share(part, whole, part / whole, low, high)


def tail_below(count: int, trials: int, probability: float) -> float:
    """P(fewer than ``count`` successes in ``trials``), for 1 <= count <= trials."""
    return 1 - incomplete_beta(count, trials - count + 1, probability)


def incomplete_beta(first: float, second: float, point: float) -> float:
    """The regularised incomplete beta function I_x(a, b) with a = first, b = second, x = point."""
    if point <= 0.0 or point >= 1.0:
        return 0.0 if point <= 0.0 else 1.0
    if point > (first + 1) / (first + second + 2):  # there the fraction converges slowly
        return 1 - incomplete_beta(second, first, 1 - point)
    log_front = (
        math.lgamma(first + second)
        - math.lgamma(first)
        - math.lgamma(second)
        + first * math.log(point)
        + second * math.log1p(-point)
    )
    return math.exp(log_front) / (first * _fraction(first, second, point))


def _fraction(first: float, second: float, point: float) -> float:
    """Lentz's method for the continued fraction of the incomplete beta function (DLMF 8.17.22)."""
    value, upper, lower = 1.0, 1.0, 0.0
    for term in range(1, _TERMS):
        half = term // 2
        if term % 2 == 0:
            factor = half * (second - half) / ((first + term - 1) * (first + term))
        else:
            factor = -(first + half) * (first + second + half)
            factor /= (first + term - 1) * (first + term)
        factor *= point
        lower = 1 / _away_from_zero(1 + factor * lower)
        upper = _away_from_zero(1 + factor / upper)
        value *= upper * lower
        if abs(upper * lower - 1) < 1e-15:
            break
    return value


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _solve(tail_at: Callable[[float], float], wanted: float, *, is_rising: bool) -> float:
    """The probability at which a monotone tail has the wanted value, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if (tail_at(middle) < wanted) == is_rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2
