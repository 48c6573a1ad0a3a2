"""How foreign words and numbers are shown. Pure."""

import math
import unicodedata
from datetime import UTC, datetime

ABSENT = "-"
_KEPT = "\n\t"
# Control, format (bidirectional overrides), surrogates, private use, line and paragraph ends: a
# terminal may obey them, and a page may be turned round by them.
_UNFIT = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def printable(text: str) -> str:
    """``text`` with ``�`` in place of what a terminal would obey or cannot show."""
    return "".join(
        one if one in _KEPT or unicodedata.category(one) not in _UNFIT else "�" for one in text
    )


def word(text: str | None) -> str:
    """A name on one line, or that there is none."""
    return ABSENT if not text else printable(text).replace("\n", "�").replace("\t", " ")


def number(value: float | None, digits: int = 2, unit: str = "") -> str:
    """A number as people read it, or that there is none."""
    if value is None or not math.isfinite(value):
        return ABSENT
    if value == int(value) and (digits == 0 or abs(value) >= 1000):
        return f"{int(value):,}{unit}"
    return f"{value:,.{digits}f}{unit}"


def percent(value: float | None) -> str:
    """A share."""
    return ABSENT if value is None else number(100 * value, 0, " %")


def moment(at: float | None) -> str:
    """Unix time as UTC, to the second."""
    if at is None or not math.isfinite(at):
        return ABSENT
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, ValueError, OSError):
        return ABSENT
