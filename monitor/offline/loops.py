"""Whether a text really is in a loop, by brute force: nothing shared with any detector."""

from collections.abc import Sequence

LEAST_SPAN = 48
LEAST_COPIES = 3
GRAM = 4
WINDOW = 128
RECYCLED_SHARE = 0.8


def final_loop(
    symbols: Sequence[object], least_span: int = LEAST_SPAN, least_copies: int = LEAST_COPIES
) -> int | None:
    """Where the exact cycle at the end begins, its first copy included; ``None`` without one.

    Every period is tried; the shortest that holds over ``least_span`` symbols and
    ``least_copies`` copies counts.
    """
    count = len(symbols)
    for period in range(1, count // least_copies + 1):
        start = count - period
        while start > 0 and symbols[start - 1] == symbols[start - 1 + period]:
            start -= 1
        span = count - start
        if span >= least_span and span >= least_copies * period:
            return start
    return None


def recycled_from(symbols: Sequence[object]) -> int | None:
    """Where the first stretch begins that only says again what was said; ``None`` without one.

    Of the 4-grams that end in its 128 symbols, 80 % had occurred before it or earlier in it: loops
    with small changes and loops that end show by this, tables of one kind as well.
    """
    seen: set[tuple[object, ...]] = set()
    is_old: list[bool] = []
    recycled = 0
    for end in range(GRAM, len(symbols) + 1):
        gram = tuple(symbols[end - GRAM : end])
        is_old.append(gram in seen)
        seen.add(gram)
        recycled += is_old[-1]
        if len(is_old) > WINDOW:
            recycled -= is_old[-WINDOW - 1]
        if recycled >= RECYCLED_SHARE * WINDOW:
            return max(0, end - WINDOW)
    return None
