"""Checks the tags of the pages that attention reads, so that what was read is what was checked.

The last tag of a page is checked before the layer reads it: a write that has not ended is seen. The
first tag is checked once, at the end of the pass, for all layers: a write that began meanwhile is
seen. Once is enough. A page whose last tag was right is full, and whoever filled it is done; nobody
else may write to it while the sequence holds it, and whoever does all the same writes the first tag
before anything else, with the number of another allocation, which is never used twice. So the first
tag goes from right to wrong during the pass and never back. The price: a write that came after the
last read and before the end of the pass counts for this step and not for the next one.
"""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference_backend.kv.epochs import MOVER_BITS
from inference_backend.kv.group import Group
from inference_backend.kv.store import KvStore


class Tagged(Protocol):
    """What has tags: the KV cache, or the index cache."""

    page_size: int
    heads: Tensor
    tails: Tensor


class PageCheck(Protocol):
    """One pass over a group, layer by layer."""

    def wrote(self, layer: int) -> None:
        """The group's own tokens have been written: tags the pages that they began."""

    def before(self, layer: int) -> None:
        """Checks what the layer is about to read."""


class NoCheck:
    """The sanitizer is off."""

    def wrote(self, layer: int) -> None:
        pass

    def before(self, layer: int) -> None:
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
        differs = self._tails[layer, self._pages] >> MOVER_BITS != self._expected
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
        tags = self._tails[layer][self._table]
        differs = (tags >> MOVER_BITS != self._expected) & self._is_read
        self._flags.bitwise_or_(differs.any(dim=1).to(self._flags.dtype))


def page_check(store: Tagged, group: Group) -> PageCheck:
    if group.expected is None:
        return NoCheck()
    return DeviceCheck(store, group) if group.expected.is_cuda else TagCheck(store, group)


def check_end(store: KvStore, group: Group, *, has_drafts: bool) -> None:
    """The end of a pass over the group: nothing that it read has been written over meanwhile.

    Without drafts nobody reads or writes the draft head's layer. With them, the pages that the pass
    began are left out in that layer: how many of them it reached depends on the drafts that were
    kept, and nothing but drafts comes from them.
    """
    if group.expected is None:
        return
    if group.expected.is_cuda:
        # Triton comes with CUDA builds of torch only.
        from inference_backend.kv.triton_check import check_heads  # noqa: PLC0415

        check_heads(store, group, has_drafts=has_drafts)
        return
    assert group.flags is not None
    size, first = store.page_size, group.first.numpy()
    table, expected = group.page_table.numpy(), group.expected.numpy()
    flags: NDArray[Any] = group.flags.numpy()
    read = [(-(-(first + group.width) // size), slice(store.target_layers))]
    if has_drafts:
        read.append((-(-first // size), slice(store.target_layers, None)))
    for ends, layers in read:
        rows, columns = np.nonzero(np.arange(table.shape[1]) < ends[:, None])
        for part in store.parts:
            tags = part.heads[layers].numpy()[:, table[rows, columns]]
            differs = (tags >> MOVER_BITS != expected[rows, columns]).any(axis=0)
            flags[rows[differs]] = 1
