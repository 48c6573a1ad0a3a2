"""The tensors of the host tier, and the copies between them and the device's pages."""

from typing import Any

import torch
from torch import Tensor

from inference_backend.hicache.load import HostLoad
from inference_backend.kv.blocks import PagedBlocks
from inference_backend.kv.epochs import MOVER_BITS, Mover, tag_of
from inference_backend.kv.store import KvStore


class HostStore:
    """A slot holds a page of all layers: blocks with their tags, index blocks, tail state.

    Pinned memory for a GPU. What is saved is queued behind all earlier work of the device, in order
    with whatever overwrites the page next.
    """

    def __init__(self, store: KvStore, num_slots: int) -> None:
        self._store = store
        self.is_cuda = store.device.type == "cuda"
        self._parts = [(part, self._slots(num_slots, part)) for part in store.parts]
        self._tails = torch.empty(
            (num_slots, store.tail_hidden.shape[1]),
            dtype=store.tail_hidden.dtype,
            pin_memory=self.is_cuda,
        )

    def _slots(self, num_slots: int, part: PagedBlocks) -> Tensor:
        size = (num_slots, part.blocks.shape[0], part.blocks.shape[2])
        return torch.empty(size, dtype=torch.uint8, pin_memory=self.is_cuda)

    @property
    def num_layers(self) -> int:
        return len(self._store.kv.blocks)

    @property
    def num_index_layers(self) -> int:
        return 0 if self._store.index is None else len(self._store.index.blocks)

    def save(self, page: int, slot: int) -> None:
        """Copies a device page out. On a CPU it is done on return."""
        for part, slots in self._parts:
            slots[slot].copy_(part.blocks[:, page].contiguous(), non_blocking=self.is_cuda)
        self._tails[slot].copy_(self._store.tail_hidden[page], non_blocking=self.is_cuda)

    def mark(self) -> Any:
        """A CUDA event after all that was queued so far; ``None`` on a CPU."""
        return torch.cuda.current_stream().record_event() if self.is_cuda else None

    def load_tails(self, load: HostLoad) -> None:
        """The states that the draft head continues from."""
        slots, pages = self._places(load)
        self._store.tail_hidden.index_copy_(0, pages, self._stage(self._tails[slots]))

    def load_kv(self, load: HostLoad, layer: int) -> None:
        """One layer's keys and values; the draft head's layer is the last."""
        self._load(load, layer, 0)

    def load_index(self, load: HostLoad, layer: int) -> None:
        """One layer's index keys."""
        self._load(load, layer, 1)

    def _load(self, load: HostLoad, layer: int, which: int) -> None:
        part, slots = self._parts[which]
        chosen, pages = self._places(load)
        blocks = slots[chosen, layer]
        retag(blocks, load)
        part.put(layer, pages, self._stage(blocks))

    def _places(self, load: HostLoad) -> tuple[Tensor, Tensor]:
        slots = torch.tensor([page.slot for page in load.sources])
        return slots, torch.tensor(load.pages).to(self._store.device)

    def _stage(self, rows: Tensor) -> Tensor:
        if not self.is_cuda:
            return rows
        return rows.pin_memory().to(self._store.device, non_blocking=True)


def retag(blocks: Tensor, load: HostLoad) -> None:
    """Says in ``blocks [N, block_bytes]`` that they are now of the load's allocations.

    Only where they are what was saved: other content keeps the tag that names its writer.
    """
    words = blocks.view(torch.int64)
    saved = torch.tensor([page.epoch for page in load.sources])
    tags = torch.tensor([tag_of(epoch, Mover.LOAD) for epoch in load.epochs])
    for column in (0, -1):
        found = words[:, column]
        words[:, column] = torch.where(found >> MOVER_BITS == saved, tags, found)
