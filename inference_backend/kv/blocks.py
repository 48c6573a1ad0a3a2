"""Pages as blocks of bytes: a tag, the data, the tag once more.

Whoever writes a page writes the first tag before the data and the last one after it; whoever reads
checks the last one before reading and the first one afterwards (see ``page_check``).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

WORD = 8  # bytes of a tag
MARGIN = 16  # bytes before and after a page's data: a tag and, at the end, what alignment needs


class PagedBlocks:
    """The blocks of some layers.

    Attributes:
        blocks: ``[layers, pages + 1, block_bytes]`` bytes: all of it, as transfers move it.
        data: ``[layers, pages + 1, *page_shape]``, a view. Page 0 is scratch.
        words: ``[layers, pages + 1, block_bytes / 8]`` the same as int64, a view.
        heads, tails: ``[layers, pages + 1]`` the two tags, views.
        page_size: tokens a page.
    """

    def __init__(
        self,
        num_layers: int,
        num_pages: int,
        page_size: int,
        page_shape: Sequence[int],
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.page_size = page_size
        page_bytes = dtype.itemsize
        for length in page_shape:
            page_bytes *= length
        block_bytes = 2 * MARGIN + -(-page_bytes // MARGIN) * MARGIN
        self.blocks = torch.zeros(
            (num_layers, num_pages + 1, block_bytes), dtype=torch.uint8, device=device
        )
        inner = self.blocks[..., MARGIN : MARGIN + page_bytes]
        self.data = inner.view(dtype).view(num_layers, num_pages + 1, *page_shape)
        self.words = self.blocks.view(torch.int64)
        self.heads, self.tails = self.words[..., 0], self.words[..., -1]

    def put(self, layer: int, pages: Tensor, blocks: Tensor) -> None:
        """Writes whole blocks ``[N, block_bytes]`` in the order that readers rely on."""
        words = blocks.view(torch.int64)
        self.heads[layer].index_copy_(0, pages, words[:, 0])
        self.words[layer, :, 1:-1].index_copy_(0, pages, words[:, 1:-1])
        self.tails[layer].index_copy_(0, pages, words[:, -1])
