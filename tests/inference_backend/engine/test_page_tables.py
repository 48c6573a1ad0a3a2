"""The array of page numbers follows the leases."""

from inference_backend.engine.page_tables import PageTables
from inference_backend.engine.sequence import Sequence, make_sequence
from inference_backend.kv.lease import Lease, PageCache
from tests.fakes.engine_runs import request


def running(slot: int, pages: list[int]) -> Sequence:
    sequence = make_sequence(request(str(slot), [1]))
    sequence.slot, sequence.lease = slot, Lease(pages, [10 * p for p in pages], "", "")
    return sequence


def test_rows_are_padded_to_the_longest() -> None:
    """In the order asked for, not that of the slots."""
    tables = PageTables(3, 10)
    rows = tables.rows([running(2, [5, 6, 7]), running(0, [9])])
    assert rows.tolist() == [[5, 6, 7], [9, 0, 0]]


def test_a_row_grows_with_its_lease() -> None:
    tables, sequence = PageTables(1, 10), running(0, [5])
    assert tables.rows([sequence]).tolist() == [[5]]
    assert sequence.lease is not None
    sequence.lease.pages += [8, 9]
    sequence.lease.epochs += [80, 90]
    assert tables.rows([sequence]).tolist() == [[5, 8, 9]]
    assert tables.expected([sequence]).tolist() == [[50, 80, 90]]


def test_a_slot_with_another_lease_forgets_the_old_one() -> None:
    tables = PageTables(2, 10)
    tables.rows([running(0, [1, 2, 3, 4])])
    rows = tables.rows([running(0, [7]), running(1, [8, 9])])
    assert rows.tolist() == [[7, 0], [8, 9]]


def test_a_replaced_page_is_noticed() -> None:
    cache, tables = PageCache(6, 2), PageTables(1, 6)
    lease = cache.open([1, 2, 3], "", 4)
    assert lease is not None
    sequence = running(0, [])
    sequence.lease = lease
    tables.rows([sequence])
    cache.pool.hold(lease.pages[0])
    assert cache.make_private(lease, 0) is not None
    assert tables.rows([sequence]).tolist() == [lease.pages]


def test_no_sequences_give_no_rows() -> None:
    assert PageTables(2, 4).rows([]).shape == (0, 0)
