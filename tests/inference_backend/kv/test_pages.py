"""Which pages are free, held and cached."""

import pytest

from inference_backend.kv.pages import OutOfPages, PagePool


class Evictions:
    """Remembers what was evicted, in order."""

    def __init__(self) -> None:
        self.pages: list[int] = []

    def __call__(self, page: int) -> None:
        self.pages.append(page)


def test_every_page_is_given_once() -> None:
    """Page 0 is scratch and never given away."""
    pool = PagePool(5, on_evict=Evictions())
    assert sorted(pool.allocate() for _ in range(5)) == [1, 2, 3, 4, 5]
    assert pool.num_available == 0
    with pytest.raises(OutOfPages):
        pool.allocate()
    pool.check_integrity()


def test_a_page_is_free_when_its_last_holder_lets_go() -> None:
    pool = PagePool(2, on_evict=Evictions())
    page = pool.allocate()
    pool.hold(page)
    pool.release(page, keep=False)
    assert (pool.holders(page), pool.num_free) == (1, 1)
    pool.release(page, keep=False)
    assert (pool.holders(page), pool.num_free) == (0, 2)
    pool.check_integrity()


def test_a_cached_page_can_be_held_again() -> None:
    pool = PagePool(2, on_evict=Evictions())
    page = pool.allocate()
    pool.release(page, keep=True)
    assert (pool.num_cached, pool.num_available) == (1, 2)
    pool.hold(page)
    assert (pool.num_cached, pool.holders(page)) == (0, 1)
    pool.check_integrity()


def test_cached_pages_are_evicted_in_the_order_in_which_they_were_let_go() -> None:
    """And only when no free page is left."""
    evicted = Evictions()
    pool = PagePool(4, on_evict=evicted)
    pages = [pool.allocate() for _ in range(4)]
    for page in (pages[2], pages[0], pages[1]):
        pool.release(page, keep=True)
    pool.release(pages[3], keep=False)
    assert pool.allocate() == pages[3]
    assert evicted.pages == []
    assert [pool.allocate() for _ in range(3)] == [pages[2], pages[0], pages[1]]
    assert evicted.pages == [pages[2], pages[0], pages[1]]


def test_holding_again_moves_a_page_to_the_end_of_the_queue() -> None:
    pool = PagePool(2, on_evict=Evictions())
    first, second = pool.allocate(), pool.allocate()
    pool.release(first, keep=True)
    pool.release(second, keep=True)
    pool.hold(first)
    pool.release(first, keep=True)
    assert pool.allocate() == second


def test_letting_go_twice_is_a_bug() -> None:
    pool = PagePool(1, on_evict=Evictions())
    page = pool.allocate()
    pool.release(page, keep=False)
    with pytest.raises(AssertionError, match="no holder"):
        pool.release(page, keep=False)
