"""The option that says when a second replica is asked. Pure."""

import math
from dataclasses import dataclass
from typing import Self

from retry_proxy.errors import InvalidConfig


@dataclass(frozen=True, slots=True)
class HedgeAfter:
    """When: after so many seconds, or where the given share of the recent answers had begun."""

    seconds: float | None = None
    percentile: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``0.8`` (seconds) or ``p95``.

        Raises:
            InvalidConfig: it is neither.
        """
        name, is_percentile = text.strip().lower(), text.strip()[:1] in {"p", "P"}
        try:
            value = float(name[1:] if is_percentile else name)
        except ValueError:
            value = math.nan
        if is_percentile and 50 <= value < 100:
            return cls(percentile=value)
        if not is_percentile and 0 < value < math.inf:
            return cls(seconds=value)
        raise InvalidConfig(f"hedge_after must be seconds or p50 to p99.9, got {text!r}")
