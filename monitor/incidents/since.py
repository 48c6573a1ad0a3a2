"""What people mean by "since". Pure."""

import re
from datetime import UTC, datetime

from monitor.errors import InvalidOptions

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def parse_since(text: str | None, now: float) -> float | None:
    """Unix time of ``15m``, ``2h``, ``1d`` ago, of an ISO time (UTC unless it says), or itself.

    Raises:
        InvalidOptions: it is none of these.
    """
    if text is None:
        return None
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return now - float(ago[1]) * _UNITS[ago[2]]
    try:
        if re.fullmatch(r"\d{9,10}(\.\d+)?", text.strip()):
            return float(text)
        told = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidOptions(
            f"--since {text!r}: neither like 15m, 2h or 1d, nor a time like 2026-01-31T12:00"
        ) from error
    return (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
