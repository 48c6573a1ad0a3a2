"""Whether a text really ends in a loop, by brute force: nothing shared with any detector."""

from collections.abc import Sequence

LEAST_SPAN = 48
LEAST_COPIES = 3


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
