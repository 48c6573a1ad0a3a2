"""Reads one engine's /metrics into quantities. Pure."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.engine_metrics.names import LOAD, MAXIMA, NAMES, Quantity

# name{labels} value [timestamp]; the names that matter are few among thousands of lines.
_SAMPLE = re.compile(
    r"^((?:sglang[:_]|vllm:|llamacpp:|specwatch_engine_)[a-zA-Z0-9_:]+)(?:\{(.*)\})? (\S+)", re.M
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ZERO = "0"
MAX_POSITIONS = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """What one scrape told.

    Attributes:
        values: only what the engine told. SGLang's acceptance gauges read 0 without speculation:
            that is no acceptance, and left out.
        positions: steps with an accepted draft, by its position from 1.
        missing: load metrics that this engine should tell, and did not.
    """

    values: Mapping[Quantity, float]
    positions: Mapping[int, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Not one known metric: not an engine's page, or all of them renamed."""
        return not self.values


def read_metrics(text: str, engine: str | None) -> Reading:
    """The quantities in an exposition.

    Args:
        engine: name of the adapter; says what should be there.
    """
    values: dict[Quantity, float] = {}
    positions: dict[int, float] = {}
    for name, raw_labels, raw_value in _SAMPLE.findall(text):
        labels = dict(_LABEL.findall(raw_labels))
        quantity = _quantity(name, labels)
        value = _number(raw_value)
        if quantity is None or value is None or not _counts(labels):
            continue
        if quantity is Quantity.POSITION_ACCEPTED:
            _add_position(positions, labels.get("position", ""), value)
        elif quantity in MAXIMA:
            values[quantity] = max(value, values.get(quantity, value))
        else:
            values[quantity] = values.get(quantity, 0.0) + value
    for gauge in (Quantity.ACCEPT_LENGTH_GAUGE, Quantity.ACCEPT_RATE_GAUGE):
        if values.get(gauge) == 0 and not values.get(Quantity.VERIFY_STEPS):
            del values[gauge]
    missing = tuple(one.value for one in LOAD.get(engine or "", ()) if one not in values)
    return Reading(values, positions, missing)


def _quantity(name: str, labels: Mapping[str, str]) -> Quantity | None:
    if "finished_reason" in labels:
        return NAMES.get(f'{name}{{finished_reason="{labels["finished_reason"]}"}}')
    return NAMES.get(name)


def _counts(labels: Mapping[str, str]) -> bool:
    """Of a model split over devices one rank speaks; copies of it (dp_rank) are added up."""
    return all(labels.get(rank, _ZERO) == _ZERO for rank in ("tp_rank", "pp_rank", "moe_ep_rank"))


def _add_position(positions: dict[int, float], told: str, value: float) -> None:
    if told.isdigit() and int(told) < MAX_POSITIONS:
        position = int(told) + 1
        positions[position] = positions.get(position, 0.0) + value


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
