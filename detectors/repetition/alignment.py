"""Compares the end of a sequence of bytes with what stands before it. Pure functions.

``tail`` holds the latest symbols, oldest first; a period is a distance in symbols. Whole slices are
compared and searched by single C calls.
"""

from operator import eq

_GRAM = 8  # symbols that must recur before a period is tried
_LONGER_TRIES = 4
_FIRST_LOOK = 128  # symbols compared at first when a match is extended backwards
_SHIFT = 3  # a copy may move by this much, and by a sixteenth of the period
_RESUME = 3  # symbols that must recur where a moved copy goes on
_SHORT_PERIOD_MAX = 24
SHORT_SPAN = 48  # symbols that ``short_period`` looks at
_SHORT_EQUAL = 29  # 60 % of the span: of a counter's copy ("42. ") at least so much stays
_PERIOD_COST = 0.25  # equal symbols per symbol of the period: a tenfold counter is not one period

NEEDED_FOR_SHORT = SHORT_SPAN + _SHORT_PERIOD_MAX


def shift_allowed(period: int) -> int:
    """How far a copy may move against the one before: an index that grew, a changed word."""
    return _SHIFT + period // 16


def count_matched(tail: bytes, period: int) -> int:
    """Symbols at the end that all equal those one period before."""
    end = len(tail)
    available = end - period
    for length in (min(available, _FIRST_LOOK), available):
        newer = int.from_bytes(tail[end - length :])
        older = int.from_bytes(tail[available - length : available])
        difference = newer ^ older
        if difference:
            return ((difference & -difference).bit_length() - 1) >> 3
    return available


def count_equal(tail: bytes, size: int, period: int) -> int:
    """How many of the last ``size`` symbols equal those one period before."""
    end = len(tail) - period
    return sum(map(eq, tail[-size:], tail[max(0, end - size) : end]))


def longest_repeat(tail: bytes) -> tuple[int, int]:
    """(period, matched) of the longest end that occurred before; of equals the nearest.

    (0, 0) if the last 8 symbols did not occur.
    """
    period = matched = 0
    length = _GRAM
    last = len(tail) - 1
    for _ in range(_LONGER_TRIES):
        at = tail.rfind(tail[-length:], 0, last)
        if at < 0 or length > last:
            break
        period = last + 1 - length - at
        matched = count_matched(tail, period)
        length = matched + 1
    return period, matched


def count_unexplained(tail: bytes, size: int, period: int, *, limit: int) -> tuple[int, int]:
    """Reads the last ``size`` symbols as a copy, one period before or two, that may shift.

    Gives up above ``limit`` unexplained symbols.

    Returns:
        (symbols that no copy explains, period at the end).
    """
    end = len(tail)
    at = end - size
    reach = shift_allowed(period)
    unexplained = 0
    while at < end and unexplained <= limit:
        source = at - period
        if source >= 0 and tail[source] == tail[at]:
            at += 1
            continue
        gram = tail[at : at + _RESUME]
        found = tail.find(gram, max(0, source - reach), min(at, source + reach) + _RESUME - 1)
        is_whole = len(gram) == _RESUME
        if is_whole and 0 <= found < at:
            period = at - found
            at += _RESUME
        elif is_whole and _occurs(tail, gram, source - period, reach):
            at += _RESUME
        else:
            unexplained += 1
            at += 1
    return unexplained, period


def _occurs(tail: bytes, gram: bytes, source: int, reach: int) -> bool:
    return source >= 0 and tail.find(gram, max(0, source - reach), source + reach) >= 0


def short_period(tail: bytes) -> tuple[int, int]:
    """(period, equal symbols among the last 48) of the best short period; (0, 0) without one.

    For loops whose unchanged stretches are too short for ``longest_repeat``. ``tail`` has at least
    ``NEEDED_FOR_SHORT`` symbols.
    """
    best = (0.0, 0, 0)
    for period in range(1, _SHORT_PERIOD_MAX + 1):
        equal = count_equal(tail, SHORT_SPAN, period)
        best = max(best, (equal - _PERIOD_COST * period, period, equal))
    _, period, equal = best
    return (period, equal) if equal >= _SHORT_EQUAL else (0, 0)
