"""A sequence's hold on its pages: taken, grown, published for others, let go. Knows no tensors."""

from collections.abc import Iterator, Sequence
from typing import Any

from inference_backend.kv.epochs import Epochs
from inference_backend.kv.pages import OutOfPages, PagePool
from inference_backend.kv.prefix import PrefixIndex
from inference_backend.kv.spill import PageLoad, SpillTier


class Lease:
    """The pages of one sequence, in order. Made by ``PageCache.open``.

    Attributes:
        pages: page numbers; token ``i`` lives in ``pages[i // page_size]``.
        epochs: the allocation of each page that the lease relies on.
        owner: the request that it was made for.
        missing: places whose content did not arrive when it was said to.
        reused: how many of them were found in the prefix index.
        revision: rises when a page is replaced by another, not when the lease grows.
        is_private: nothing of it is published any more.
        spilled: what the tier below holds of it: the last of the ``reused`` pages, to be loaded.
        load: brings those; ``None`` until it is begun.
    """

    __slots__ = (
        "epochs",
        "is_private",
        "load",
        "missing",
        "owner",
        "pages",
        "published",
        "reused",
        "revision",
        "salt",
        "spilled",
    )

    def __init__(self, pages: list[int], epochs: list[int], salt: str, owner: str) -> None:
        self.pages, self.epochs, self.owner = pages, epochs, owner
        self.revision = 0
        self.missing: frozenset[int] = frozenset()
        self.salt = salt
        self.reused = len(pages)
        self.published = len(pages)
        self.is_private = False
        self.spilled: list[Any] = []
        self.load: PageLoad | None = None


class PageCache:
    """Pages and prefixes together: what the scheduler asks for memory."""

    def __init__(self, num_pages: int, page_size: int) -> None:
        self.page_size = page_size
        self.prefix = PrefixIndex(page_size)
        self.pool = PagePool(num_pages, on_evict=self._evict)
        self.epochs = Epochs(num_pages)
        self.tier: SpillTier | None = None
        self._draining: list[tuple[PageLoad, list[int]]] = []

    def pages_for(self, tokens: int) -> int:
        return -(-tokens // self.page_size)

    def open(
        self, tokens: Sequence[int], salt: str, reserve_tokens: int, owner: str = ""
    ) -> Lease | None:
        """A lease with room for ``reserve_tokens``, beginning with the pages already known.

        ``None`` if they do not fit now. ``owner`` is the request, for the sanitizer's findings.
        At least one token stays to be computed: its hidden state is needed.
        """
        known = self.prefix.match(tokens[: len(tokens) - 1], salt)
        for page in known:
            self.pool.hold(page)
        lease = Lease(known, [self.epochs.current(page) for page in known], salt, owner)
        if self.tier is not None:
            lease.spilled = self.tier.match(
                known[-1] if known else salt, self._full_pages(tokens, len(known))
            )
        if self.try_grow(lease, reserve_tokens):
            self._count_spilled(lease)
            return lease
        self.close(lease)
        return None

    def _full_pages(self, tokens: Sequence[int], start: int) -> Iterator[Sequence[int]]:
        """The tokens of each page from number ``start`` on; the last token stays to be computed."""
        size = self.page_size
        for begin in range(start * size, len(tokens) - size, size):
            yield tokens[begin : begin + size]

    def _count_spilled(self, lease: Lease) -> None:
        """What is loaded counts as found, and is as wrong as it was."""
        for spilled in lease.spilled:
            assert self.tier is not None
            if self.tier.is_tainted(spilled):
                self.epochs.tainted.add(lease.pages[lease.reused])
            lease.reused += 1

    def _evict(self, page: int) -> None:
        if self.tier is not None and page in self.prefix:
            is_tainted = page in self.epochs.tainted
            self.tier.evicted(page, self.epochs.current(page), is_tainted=is_tainted)
        self.prefix.remove(page)

    def try_grow(self, lease: Lease, tokens: int) -> bool:
        """Makes room for ``tokens`` tokens in all. On failure nothing has changed."""
        missing = self.pages_for(tokens) - len(lease.pages)
        if missing > self.pool.num_available:
            return False
        try:
            added = [self.pool.allocate() for _ in range(missing)]
        except OutOfPages as error:  # num_available promised otherwise
            raise AssertionError("page accounting is broken") from error
        lease.pages += added
        lease.epochs += [self.epochs.begin(page, lease.owner) for page in added]
        return True

    def publish(self, lease: Lease, tokens: Sequence[int], computed: int) -> None:
        """Lets others find the pages that are full and computed (``computed`` tokens are)."""
        size = self.page_size
        while not lease.is_private and (lease.published + 1) * size <= computed:
            index = lease.published
            page_tokens = tuple(tokens[index * size : (index + 1) * size])
            parent = self._parent(lease, tokens, index)
            if parent is not None:
                self.prefix.insert(parent, page_tokens, lease.pages[index])
                if self.tier is not None and lease.pages[index] in self.prefix:
                    self.tier.published(lease.pages[index], parent, page_tokens)
            lease.published += 1

    def _parent(self, lease: Lease, tokens: Sequence[int], index: int) -> int | str | None:
        """The indexed page before ``index``.

        ``None`` if ours is a duplicate: then what follows is not findable.
        """
        if index == 0:
            return lease.salt
        before = lease.pages[index - 1]
        return before if before in self.prefix else None

    def make_private(self, lease: Lease, index: int) -> tuple[int, int] | None:
        """Makes sure that nobody else holds or finds page ``index`` of the lease.

        Returns the page that was there and the one that is there now, whose content the caller must
        copy if they differ. ``None`` if a new page was needed and there is none. The lease
        publishes nothing from now on: what it computes depends on this page.
        """
        lease.is_private = True
        page = lease.pages[index]
        if self.pool.holders(page) == 1:
            self.prefix.remove(page)
            return page, page
        if self.pool.num_available == 0:
            return None
        lease.pages[index] = self.pool.allocate()
        lease.epochs[index] = self.epochs.begin(lease.pages[index], lease.owner)
        lease.revision += 1
        self.pool.release(page, keep=page in self.prefix)
        return page, lease.pages[index]

    def close(self, lease: Lease) -> None:
        """Lets all pages go, the last one first. Indexed pages stay cached.

        Pages that a load may still write to are let go when it is over, see ``reap``.
        """
        if lease.load is not None and not lease.load.cancel():
            self._draining.append((lease.load, lease.pages))
        else:
            self._release(lease.pages)
        if lease.spilled and lease.load is None:
            assert self.tier is not None
            self.tier.release(lease.spilled)
        lease.pages, lease.epochs, lease.spilled = [], [], []
        lease.published = lease.reused = 0

    def reap(self) -> bool:
        """Lets go what loads wrote to that are over by now; whether there was any."""
        over = [entry for entry in self._draining if entry[0].is_over]
        for entry in over:
            self._draining.remove(entry)
            self._release(entry[1])
        return bool(over)

    @property
    def num_draining(self) -> int:
        """Pages without an owner that a load may still write to."""
        return sum(len(pages) for _, pages in self._draining)

    def _release(self, pages: Sequence[int]) -> None:
        for page in reversed(pages):
            self.pool.release(page, keep=page in self.prefix)

    def close_retiring(self, lease: Lease, first: int, end: int) -> None:
        """As ``close``, but the pages of places ``first`` to ``end`` are never used again."""
        for page in lease.pages[first:end]:
            self.prefix.remove(page)
            self.pool.retire(page)
        lease.pages[first:end] = []
        self.close(lease)

    def check_integrity(self) -> None:
        self.pool.check_integrity()
