"""Which rows of a chunk each rank computes. Plain integers."""

from collections.abc import Iterable

Runs = tuple[range, ...]
"""Positions of one rank, in rising order: at most two runs, none of them empty."""


def split_chunk(start: int, end: int, ranks: int) -> list[Runs]:
    """The shares of the chunk ``[start, end)``, one a rank, balanced for causal attention.

    A row's work grows with what stands before it: ``fixed + per_key * (position + 1)``. The chunk
    is cut in ``2 * ranks`` pieces, and a rank gets one from the front and the one as far from the
    end (zigzag): whatever ``fixed``, ``per_key`` and ``start`` are, the pairs are equal, except for
    what the rows that do not divide evenly weigh. Ranks differ by at most one row. A chunk of fewer
    rows than ranks leaves some without any.
    """
    pieces = _pieces(start, end, 2 * ranks)
    return [_joined(pieces[rank], pieces[-1 - rank]) for rank in range(ranks)]


def _pieces(start: int, end: int, count: int) -> list[range]:
    """``count`` pieces; those at the front get the rows that are over, so pairs differ by one."""
    size, extra = divmod(end - start, count)
    borders = [start + index * size + min(index, extra) for index in range(count + 1)]
    return [range(borders[index], borders[index + 1]) for index in range(count)]


def _joined(first: range, second: range) -> Runs:
    if first.stop == second.start and first and second:
        return (range(first.start, second.stop),)
    return tuple(piece for piece in (first, second) if piece)


def num_rows(runs: Runs) -> int:
    return sum(len(run) for run in runs)


def work(runs: Iterable[range], fixed: float, per_key: float) -> float:
    """What the rows cost together, in the unit of ``fixed`` (a row) and ``per_key`` (a row, a key).

    The sum over positions ``p`` of ``fixed + per_key * (p + 1)``.
    """
    total = 0.0
    for run in runs:
        keys = (run.start + 1 + run.stop) * len(run) / 2
        total += fixed * len(run) + per_key * keys
    return total
