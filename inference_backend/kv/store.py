"""The tensors of the paged KV cache. Which page is whose is not known here."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference_backend.kv.blocks import PagedBlocks
from inference_backend.kv.epochs import Mover, tag_of
from inference_backend.model.shape import LlamaShape


@dataclass(frozen=True, slots=True)
class KeptLayers:
    """What of a model's cache one store keeps, where several share it; see ``parallel``.

    Attributes:
        kv: how many layers; those of the target first.
        index: how many of the target.
        has_tails: the states that the draft head continues from are here.
    """

    kv: int
    index: int
    has_tails: bool


class KvStore:
    """Keys and values of all layers (unless ``kept`` says otherwise), the draft head's layer last.

    Pages lie in blocks with tags, see ``blocks``; the index cache of sparse attention has its own.

    Attributes:
        blocks: ``[layers + 1, pages + 1, block_bytes]`` bytes: all of it, as transfers move it.
        data: ``[layers + 1, pages + 1, 2, page_size, kv_heads, head_dim]``, a view; index 0 of the
            third dimension is the key, 1 the value. Page 0 is scratch.
        heads, tails: ``[layers + 1, pages + 1]`` the two tags, views.
        tail_hidden: ``[pages + 2, hidden]``, the target's hidden state at the last position of each
            full page. The draft head continues from it where a prefix was found or a chunk ended.
            Row 0 is the state before the first token: zeros. The row after the last page is
            scratch.
        index: the index keys ``[layers, pages + 1, page_size, index_dim]``; ``None`` without sparse
            attention.
    """

    def __init__(
        self,
        shape: LlamaShape,
        num_pages: int,
        page_size: int,
        device: torch.device,
        dtype: torch.dtype,
        index_dim: int | None = None,
        kept: KeptLayers | None = None,
    ) -> None:
        self.num_layers, self.num_pages, self.page_size = shape.num_layers, num_pages, page_size
        self.device, self.hidden_size, self._dtype = device, shape.hidden_size, dtype
        self._shape, self._index_dim = shape, index_dim
        self.allocate(kept or KeptLayers(shape.num_layers + 1, shape.num_layers, has_tails=True))

    def allocate(self, kept: KeptLayers) -> None:
        """Makes the tensors, empty; those that there were are dropped."""
        self.target_layers = kept.index
        shape, pages, size = self._shape, self.num_pages, self.page_size
        page_shape = (2, size, shape.num_kv_heads, shape.head_dim)
        kv = PagedBlocks(kept.kv, pages, size, page_shape, self.device, self._dtype)
        self.kv, self.blocks, self.data, self.words = kv, kv.blocks, kv.data, kv.words
        self.heads, self.tails = kv.heads, kv.tails
        self.index: PagedBlocks | None = None
        if self._index_dim is not None:
            index_shape = (size, self._index_dim)
            self.index = PagedBlocks(kept.index, pages, size, index_shape, self.device, self._dtype)
        self.tail_hidden = torch.zeros(
            (pages + 2, shape.hidden_size if kept.has_tails else 0),
            device=self.device,
            dtype=self._dtype,
        )

    def write(self, layer: int, pages: Tensor, offsets: Tensor, key: Tensor, value: Tensor) -> None:
        """Stores ``key`` and ``value [N, kv_heads, head_dim]`` at ``(pages [N], offsets [N])``."""
        stored = self.data[layer]
        stored[pages, 0, offsets] = key
        stored[pages, 1, offsets] = value

    def write_index(self, layer: int, pages: Tensor, offsets: Tensor, keys: Tensor) -> None:
        """Stores index keys ``[N, index_dim]`` at ``(pages [N], offsets [N])``."""
        assert self.index is not None
        self.index.data[layer][pages, offsets] = keys

    @property
    def parts(self) -> list[PagedBlocks]:
        """Everything that is paged and tagged."""
        return [self.kv] if self.index is None else [self.kv, self.index]

    def keep_tails(self, hidden: Tensor, pages: Tensor, positions: Tensor) -> None:
        """Keeps the rows of ``hidden [N, hidden]`` that stand at the last position of their page.

        ``pages [N]`` and ``positions [N]`` say where each row stands.
        """
        is_tail = positions % self.page_size == self.page_size - 1
        scratch = self.tail_hidden.shape[0] - 1
        self.tail_hidden[torch.where(is_tail, pages, scratch)] = hidden

    def fill_noise(self, pages: list[int], seed: int) -> None:
        """Fills pages of every layer with normal noise of the layer's own spread."""
        source = torch.Generator().manual_seed(seed)
        for layer in self.data:
            spread = layer[pages].float().std().clamp(min=0.1)
            noise = torch.randn((len(pages), *layer.shape[1:]), generator=source)
            layer[pages] = (noise.to(self.device) * spread).to(layer.dtype)

    def zero_layers(self, pages: list[int], layers: list[int]) -> None:
        """Zeroes the pages in the given layers, tags too: nothing was ever written there."""
        for layer in layers:
            for part in self.parts:
                if layer < len(part.blocks):
                    part.blocks[layer, pages] = 0

    def copy_pages(self, sources: list[int], targets: list[int]) -> None:
        """Copies whole pages in every layer, with their tags."""
        for part in self.parts:
            part.blocks[:, targets] = part.blocks[:, sources]

    def tag_pages(self, pages: Sequence[int], epochs: Sequence[int], mover: Mover) -> None:
        """Says that the pages were written, in every layer, for these allocations."""
        tags = torch.tensor([tag_of(epoch, mover) for epoch in epochs], device=self.device)
        for part in self.parts:
            part.heads[:, list(pages)] = tags
            part.tails[:, list(pages)] = tags
