"""What a case of an alert is, and series in promtool's words.

Values are in promtool's notation, one a minute: ``0+5x60`` grows by 5 for an hour.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Series = Mapping[str, str]


def grows(per_minute: float, minutes: int = 300) -> str:
    """A counter."""
    return f"0+{per_minute:g}x{minutes}"


def stays(value: float, minutes: int = 300) -> str:
    """A gauge, or a counter that stands."""
    return f"{value:g}x{minutes}"


@dataclass(frozen=True, slots=True)
class Case:
    """One alert and one look at it.

    Attributes:
        at: when it is looked at, e.g. ``70m``.
        fires: how many of it must fire then; labels tell them apart.
        why: the point of it.
        interval: between two samples.
    """

    alert: str
    at: str
    series: Series
    fires: int
    why: str
    interval: str = "1m"


def requests(per_minute: float, **labels: str) -> Series:
    """Clean requests to one model through one instance."""
    told = {"model": "m", "outcome": "clean", "instance": "i"} | labels
    return {_name("specwatch_requests_total", told): grows(per_minute)}


def _name(metric: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{metric}{{{inside}}}"
