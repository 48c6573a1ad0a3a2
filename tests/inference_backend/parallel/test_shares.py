"""Chunks in balanced shares."""

from hypothesis import given
from hypothesis import strategies as st

from inference_backend.parallel.shares import num_rows, split_chunk, work

CHUNKS = st.tuples(st.integers(0, 200_000), st.integers(0, 4000), st.integers(1, 17))


@given(CHUNKS)
def test_every_row_is_computed_once_and_ranks_differ_by_one_row(
    chunk: tuple[int, int, int],
) -> None:
    start, length, ranks = chunk
    shares = split_chunk(start, start + length, ranks)
    rows = sorted(position for runs in shares for run in runs for position in run)
    assert rows == list(range(start, start + length))
    counts = [num_rows(runs) for runs in shares]
    assert len(shares) == ranks
    assert max(counts) - min(counts) <= 1
    assert all(len(runs) <= 2 and all(runs) for runs in shares)
    assert all(list(runs) == sorted(runs, key=lambda run: run.start) for runs in shares)


@given(CHUNKS, st.floats(0.0, 100.0), st.floats(0.0, 1.0))
def test_the_work_differs_by_a_few_rows_of_the_dearest(
    chunk: tuple[int, int, int], fixed: float, per_key: float
) -> None:
    """Whatever a row and a key cost, and however much is cached."""
    start, length, ranks = chunk
    end = start + length
    works = [work(runs, fixed, per_key) for runs in split_chunk(start, end, ranks)]
    dearest = fixed + per_key * end
    # One row more, and each of a pair's rows moved by the pieces that are one row longer.
    moved = per_key * length if length else 0.0
    assert max(works) - min(works) <= dearest + moved + 1e-6 * max(works)


def test_equal_pieces_are_equally_dear_where_blocks_are_not() -> None:
    even = [work(runs, 3.0, 1.0) for runs in split_chunk(0, 8000, 4)]
    assert max(even) == min(even)
    blocks = [work([range(rank * 2000, (rank + 1) * 2000)], 3.0, 1.0) for rank in range(4)]
    assert max(blocks) > 6 * min(blocks)


def test_fewer_rows_than_ranks_leave_some_without() -> None:
    assert split_chunk(5, 7, 4) == [(range(5, 6),), (range(6, 7),), (), ()]
    assert split_chunk(5, 5, 2) == [(), ()]
    assert split_chunk(0, 9, 1) == [(range(9),)]
