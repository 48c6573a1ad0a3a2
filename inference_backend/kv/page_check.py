"""Checks the tags of the pages that attention reads, where it reads them.

The last tag of a page is checked before the page is read: a write that has not ended is seen. The
first tag is checked after: a write that began meanwhile is seen. On a GPU the kernel of full
attention does the same itself (``triton_attention``).
"""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference_backend.kv.epochs import MOVER_BITS
from inference_backend.kv.group import Group

Ints = NDArray[np.int64]


class Tagged(Protocol):
    """What has tags: the KV cache, or the index cache."""

    page_size: int
    heads: Tensor
    tails: Tensor


class PageCheck(Protocol):
    """One pass over a group, layer by layer."""

    def wrote(self, layer: int) -> None:
        """The group's own tokens have been written: tags the pages that they began."""

    def before(self, layer: int) -> None: ...

    def after(self, layer: int) -> None: ...


class NoCheck:
    """The sanitizer is off."""

    def wrote(self, layer: int) -> None:
        pass

    def before(self, layer: int) -> None:
        pass

    def after(self, layer: int) -> None:
        pass


class TagCheck:
    """Compares tags with the allocations that the sequences rely on, and sets the rows' flags."""

    def __init__(self, store: Tagged, group: Group) -> None:
        assert group.expected is not None
        assert group.flags is not None
        self._heads, self._tails = store.heads.numpy(), store.tails.numpy()
        self._flags: NDArray[Any] = group.flags.numpy()
        table, expected = group.page_table.numpy(), group.expected.numpy()
        size, first = store.page_size, group.first.numpy()
        ends = -(-(first + group.width) // size)  # pages that a row reads
        self._rows, columns = np.nonzero(np.arange(table.shape[1]) < ends[:, None])
        self._pages = table[self._rows, columns]
        self._expected = expected[self._rows, columns]
        # A page's first token claims it; what was there before is overwritten as tokens come.
        begun = columns * size >= first[self._rows]
        self._begun = self._pages[begun]
        self._tags = self._expected[begun] << MOVER_BITS

    def wrote(self, layer: int) -> None:
        if len(self._begun):
            self._heads[layer, self._begun] = self._tags
            self._tails[layer, self._begun] = self._tags

    def before(self, layer: int) -> None:
        self._compare(self._tails[layer, self._pages])

    def after(self, layer: int) -> None:
        self._compare(self._heads[layer, self._pages])

    def _compare(self, tags: Ints) -> None:
        differs = tags >> MOVER_BITS != self._expected
        if differs.any():
            self._flags[self._rows[differs]] = 1


class DeviceCheck:
    """The same as ``TagCheck`` in a fixed number of kernels, as a CUDA graph needs it."""

    def __init__(self, store: Tagged, group: Group) -> None:
        assert group.expected is not None
        assert group.flags is not None
        self._heads, self._tails, self._flags = store.heads, store.tails, group.flags
        self._table, self._expected = group.page_table, group.expected
        size = store.page_size
        columns = torch.arange(self._table.shape[1], device=self._table.device)
        ends = (group.first + group.width + size - 1) // size
        self._is_read = columns < ends[:, None]
        positions = group.positions()
        places = positions.view(-1, group.width) // size
        claims = positions % size == 0
        # Rows that begin no page claim the scratch page.
        self._begun = torch.where(claims, group.pages(positions, size), 0)
        self._tags = self._expected.gather(1, places).flatten() << MOVER_BITS

    def wrote(self, layer: int) -> None:
        self._heads[layer].index_copy_(0, self._begun, self._tags)
        self._tails[layer].index_copy_(0, self._begun, self._tags)

    def before(self, layer: int) -> None:
        self._compare(self._tails[layer])

    def after(self, layer: int) -> None:
        self._compare(self._heads[layer])

    def _compare(self, tags: Tensor) -> None:
        differs = (tags[self._table] >> MOVER_BITS != self._expected) & self._is_read
        self._flags.bitwise_or_(differs.any(dim=1).to(self._flags.dtype))


def page_check(store: Tagged, group: Group) -> PageCheck:
    if group.expected is None:
        return NoCheck()
    return DeviceCheck(store, group) if group.expected.is_cuda else TagCheck(store, group)
