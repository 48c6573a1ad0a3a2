"""Which KV pages are free, held or cached. Plain integers: knows no tensors and no tokens."""

from collections import OrderedDict, deque
from collections.abc import Callable


class OutOfPages(Exception):
    """No page is free and none can be evicted. The scheduler preempts somebody and tries again."""


class PagePool:
    """Reference counts of pages ``1 … num_pages``. Page 0 is scratch: padding rows write there.

    A page is *free*, *held* (one or more holders), *cached* (no holder, but its content may be
    wanted again), or *retired* (never used again). Cached pages are evicted in the order in which
    they were let go. Holders let their pages go from the last to the first, so a page is never
    evicted before those that continue it.
    """

    def __init__(self, num_pages: int, on_evict: Callable[[int], None]) -> None:
        self.num_pages = num_pages
        self._free = deque(range(1, num_pages + 1))
        self._holders = [0] * (num_pages + 1)
        self._cached: OrderedDict[int, None] = OrderedDict()
        self._on_evict = on_evict
        self._retired: set[int] = set()

    @property
    def num_retired(self) -> int:
        return len(self._retired)

    @property
    def num_free(self) -> int:
        return len(self._free)

    @property
    def num_cached(self) -> int:
        return len(self._cached)

    @property
    def num_available(self) -> int:
        """Pages that an allocation can get: free ones and cached ones."""
        return len(self._free) + len(self._cached)

    def holders(self, page: int) -> int:
        return self._holders[page]

    def allocate(self) -> int:
        """A page with one holder and undefined content.

        Raises:
            OutOfPages: every page is held.
        """
        if self._free:
            page = self._free.popleft()
        elif self._cached:
            page, _ = self._cached.popitem(last=False)
            self._on_evict(page)
        else:
            raise OutOfPages
        self._holders[page] = 1
        return page

    def hold(self, page: int) -> None:
        """One more holder of a held or cached page."""
        self._cached.pop(page, None)
        self._holders[page] += 1

    def release(self, page: int, *, keep: bool) -> None:
        """One holder less; the last one leaves the page cached if ``keep``, else free."""
        assert self._holders[page] > 0, f"page {page} has no holder"
        self._holders[page] -= 1
        if self._holders[page] == 0:
            if keep:
                self._cached[page] = None
            else:
                self._free.append(page)

    def retire(self, page: int) -> None:
        """Takes a page with one holder out for good: somebody may still write to it."""
        assert self._holders[page] == 1, f"page {page} is shared and cannot be retired"
        self._holders[page] = 0
        self._retired.add(page)

    def check_integrity(self) -> None:
        """Asserts that every page is in exactly one state."""
        free, cached = set(self._free), set(self._cached)
        held = {page for page, count in enumerate(self._holders) if count > 0}
        assert len(free) == len(self._free), "a page is free twice"
        states = free | cached | held | self._retired
        assert len(free) + len(cached) + len(held) + len(self._retired) == len(states), (
            "a page is in two states"
        )
        assert states == set(range(1, self.num_pages + 1)), "a page is lost"
