"""Sequences that attention handles together."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences that bring the same number of tokens each.

    Token ``r`` of sequence ``b`` is row ``b * width + r`` of the group; it stands at ``first[b] +
    r`` and sees everything up to itself.

    Attributes:
        page_table: ``[B, P]`` pages of each sequence, padded with 0.
        first: ``[B]`` position of each sequence's first token.
        width: tokens a sequence.
        expected: ``[B, P]`` the allocation of each page that the sequence relies on; ``None``
            switches the sanitizer off.
        flags: ``[B]`` int32, set to 1 by attention where a page was not what was expected.
    """

    page_table: Tensor
    first: Tensor
    width: int
    expected: Tensor | None = None
    flags: Tensor | None = None

    def at(self, first: Tensor, width: int) -> "Group":
        """The same sequences elsewhere."""
        return replace(self, first=first, width=width)

    def positions(self) -> Tensor:
        """Position of every row ``[B * width]``."""
        return (self.first[:, None] + torch.arange(self.width, device=self.first.device)).flatten()

    def pages(self, positions: Tensor, page_size: int) -> Tensor:
        """Page of every row ``[B * width]``."""
        index = positions.view(-1, self.width) // page_size
        return self.page_table.gather(1, index).flatten()
