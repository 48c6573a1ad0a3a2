"""Which slot of host memory holds which page of which prefix. Plain integers: no tensors, no I/O.

A page's key is a hash over the salt and all tokens up to its end: equal keys, equal content.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Key = bytes
KEY_BYTES = 16


@dataclass(slots=True, eq=False)
class HostPage:
    """A page in host memory.

    Attributes:
        epoch: the allocation that its content was written for, when it was a device page.
        is_tainted: it was computed from wrong cache.
        readers: loads under way; the slot is not reused before they are over.
    """

    key: Key
    slot: int
    epoch: int
    is_tainted: bool
    readers: int = 0


def first_key(salt: str) -> Key:
    """The key before a sequence's first page."""
    return hashlib.blake2b(salt.encode(), digest_size=KEY_BYTES).digest()


def next_key(before: Key, tokens: Sequence[int]) -> Key:
    """The key of a page that holds ``tokens`` after the page with key ``before``."""
    text = b"".join(token.to_bytes(4, "little") for token in tokens)
    return hashlib.blake2b(text, key=before, digest_size=KEY_BYTES).digest()


class HostIndex:
    """Least recently used pages make room. A parent is used at least as recently as its children.

    So a prefix loses its end first, as in the device's cache.
    """

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self._free = list(range(num_slots - 1, -1, -1))
        self._pages: OrderedDict[Key, HostPage] = OrderedDict()
        self.hits = self.stored = self.dropped = 0

    def __len__(self) -> int:
        return len(self._pages)

    def put(self, key: Key, epoch: int, *, is_tainted: bool) -> int | None:
        """The slot into which the content must be copied now; ``None``: it is not kept.

        It is not if it is there already, or if loads hold every slot.
        """
        known = self._pages.get(key)
        if known is not None:
            self._pages.move_to_end(key)
            if not known.is_tainted or is_tainted or known.readers:
                return None
            known.epoch, known.is_tainted = epoch, False  # a sound copy replaces a wrong one
            return known.slot
        slot = self._take_slot()
        if slot is None:
            self.dropped += 1
            return None
        self._pages[key] = HostPage(key, slot, epoch, is_tainted)
        self.stored += 1
        return slot

    def _take_slot(self) -> int | None:
        if self._free:
            return self._free.pop()
        victim = next((page for page in self._pages.values() if not page.readers), None)
        if victim is None:
            return None
        del self._pages[victim.key]
        return victim.slot

    def match(self, key: Key, pages: Iterable[Sequence[int]]) -> list[HostPage]:
        """The longest run of pages that follows ``key``. Each has one reader more: see ``release``.

        ``pages`` are the tokens of each.
        """
        found: list[HostPage] = []
        for tokens in pages:
            key = next_key(key, tokens)
            page = self._pages.get(key)
            if page is None:
                break
            page.readers += 1
            found.append(page)
        for page in reversed(found):  # the first is used last: it outlives those that continue it
            self._pages.move_to_end(page.key)
        self.hits += len(found)
        return found

    def release(self, pages: Iterable[HostPage]) -> None:
        """The readers are done."""
        for page in pages:
            assert page.readers > 0, "a host page was released twice"
            page.readers -= 1
            if self._pages.get(page.key) is not page and page.readers == 0:
                self._free.append(page.slot)  # it was discarded meanwhile

    def discard(self, pages: Iterable[HostPage]) -> None:
        """Their content is not to be trusted: nobody finds them any more."""
        for page in pages:
            if self._pages.get(page.key) is page:
                del self._pages[page.key]
                if page.readers == 0:
                    self._free.append(page.slot)

    def check_integrity(self, reading: Sequence[HostPage] = ()) -> None:
        """Asserts that every slot is free, in the index, or being read by ``reading``."""
        held = {page.slot for page in self._pages.values()} | {page.slot for page in reading}
        free = set(self._free)
        assert len(free) == len(self._free), "a slot is free twice"
        assert not free & held, "a slot is free and used"
        assert free | held == set(range(self.num_slots)), "a slot is lost"
