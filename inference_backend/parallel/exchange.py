"""New rows of a layer go to all ranks: bytes of the data, and the tag of its page beside it."""

import torch
from torch import Tensor

from inference_backend.kv.blocks import WORD, PagedBlocks
from inference_backend.parallel.channel import Channel, Pending
from inference_backend.parallel.rows import Rows


class NewRows:
    """Rows of one layer on their way. Nothing is read before it has arrived."""

    def __init__(self, channel: Channel, rows: Rows, own: Tensor, tags: Tensor | None) -> None:
        """``own [n, ...]``: this rank's; ``tags [n]``."""
        self._rows, self._shape, self._dtype = rows, own.shape[1:], own.dtype
        flat = own.flatten(1).view(torch.uint8)
        self._size = flat.shape[1]
        assert self._size % WORD == 0, "a row must end where a tag can begin"
        padded = flat.new_zeros((rows.most, self._size + WORD))
        padded[: len(flat), : self._size] = flat
        if tags is not None:
            padded[: len(flat), self._size :] = tags.view(torch.uint8).view(-1, WORD)
        gathered, self._pending = begin_gather(channel, padded)
        self._gathered: Tensor = gathered
        self._arrived: tuple[Tensor, Tensor] | None = None

    def get(self) -> tuple[Tensor, Tensor]:
        """All rows ``[N, ...]`` in the prompts' order, and their tags ``[N]``. Waits for them.

        Raises:
            RanksLost: they do not come.
        """
        if self._arrived is None:
            self._pending.wait()
            ordered = self._gathered.flatten(0, 1).index_select(0, self._rows.origin)
            data = ordered[:, : self._size].contiguous().view(self._dtype)
            tags = ordered[:, self._size :].contiguous().view(torch.int64).flatten()
            self._arrived = data.view(len(ordered), *self._shape), tags
        return self._arrived


def begin_gather(channel: Channel, rows: Tensor) -> tuple[Tensor, Pending]:
    return channel.begin_gather(rows.contiguous())


def put_rows(
    blocks: PagedBlocks, layer: int, rows: Tensor, tags: Tensor | None, where: "Where"
) -> None:
    """Writes ``rows [N, 2, kv_heads, head_dim]``, or index keys ``[N, dim]``, into pages.

    With tags, those of the pages that rows begin come first, as when attention writes.
    """
    pages, offsets = where.pages, where.offsets
    if tags is not None:
        begun = pages.index_select(0, where.begins)
        there = tags.index_select(0, where.begins)
        blocks.heads[layer].index_copy_(0, begun, there)
        blocks.tails[layer].index_copy_(0, begun, there)
    stored = blocks.data[layer]
    if rows.dim() == 2:
        stored[pages, offsets] = rows
    else:
        stored[pages, 0, offsets] = rows[:, 0]
        stored[pages, 1, offsets] = rows[:, 1]


class Where:
    """Pages and offsets of rows, and which of them begin a page."""

    __slots__ = ("begins", "offsets", "pages")

    def __init__(self, pages: Tensor, positions: Tensor, begins: Tensor, page_size: int) -> None:
        self.pages, self.offsets, self.begins = pages, positions % page_size, begins
