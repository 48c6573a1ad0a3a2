"""Shares with exact confidence intervals, from counts. Pure."""

from dataclasses import dataclass

from monitor.interval import clopper_pearson


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


def share(part: int, whole: int) -> Share:
    """The share of ``part`` in ``whole``."""
    if whole == 0:
        return Share(part, whole, None, 0.0, 1.0)
    return Share(part, whole, part / whole, *clopper_pearson(part, whole))
