"""The page numbers of every running sequence as one array.

Kept up to date from step to step instead of built anew.
"""

from collections.abc import Sequence as Rows

import numpy as np
from numpy.typing import NDArray

from inference_backend.engine.sequence import Sequence
from inference_backend.kv.lease import Lease


class PageTables:
    """Rows by slot.

    A row is rewritten when its slot gets another lease or a page is replaced, and extended when its
    lease grows.
    """

    def __init__(self, slots: int, max_pages: int) -> None:
        self._table = np.zeros((slots, max_pages), dtype=np.int64)
        self._expected = np.zeros_like(self._table)
        self._known: list[tuple[Lease, int] | None] = [None] * slots
        self._filled = [0] * slots

    def rows(self, sequences: Rows[Sequence]) -> NDArray[np.int64]:
        """``[B, longest]``: pages of the given sequences, padded with 0."""
        longest = max((self._update(sequence) for sequence in sequences), default=0)
        slots = np.array([sequence.slot for sequence in sequences], dtype=np.int64)
        return self._table[slots, :longest]

    def expected(self, sequences: Rows[Sequence]) -> NDArray[np.int64]:
        """The allocations of the pages that ``rows`` gave, in the same places."""
        slots = np.array([sequence.slot for sequence in sequences], dtype=np.int64)
        longest = max((self._filled[slot] for slot in slots), default=0)
        return self._expected[slots, :longest]

    def _update(self, sequence: Sequence) -> int:
        slot, lease = sequence.slot, sequence.lease
        assert slot is not None, "only running sequences have pages"
        assert lease is not None, "only running sequences have pages"
        if self._known[slot] != (lease, lease.revision):
            self._table[slot] = 0
            self._known[slot], self._filled[slot] = (lease, lease.revision), 0
        start, end = self._filled[slot], len(lease.pages)
        if end > start:
            self._table[slot, start:end] = lease.pages[start:]
            self._expected[slot, start:end] = lease.epochs[start:]
            self._filled[slot] = end
        return end
