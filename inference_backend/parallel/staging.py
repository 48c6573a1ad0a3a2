"""The double-buffered area into which owners broadcast, and what each slot may be read for."""

from dataclasses import dataclass

import torch

from inference_backend.kv.blocks import PagedBlocks
from inference_backend.kv.readiness import Readiness
from inference_backend.kv.store import KeptLayers, KvStore
from inference_backend.model.shape import LlamaShape
from inference_backend.parallel.channel import Arrived, Channel, Pending
from inference_backend.parallel.schedule import SLOTS, Unit


@dataclass(slots=True)
class _Slot:
    """What a slot is filled with; ``None``: it may be filled."""

    unit: Unit | None = None
    index: Pending | None = None
    kv: Pending | None = None


class Staging:
    """Slots for contexts of up to ``num_pages`` pages.

    A slot's pages are numbered by their place in the sequence, from 1 on. Its tags are wiped before
    it is filled: what is read before it arrived bears no tag, and the sanitizer sees that.
    """

    def __init__(
        self,
        shape: LlamaShape,
        num_pages: int,
        page_size: int,
        device: torch.device,
        dtype: torch.dtype,
        index_dim: int | None,
    ) -> None:
        kept = KeptLayers(SLOTS, SLOTS, has_tails=False)
        self.store = KvStore(shape, num_pages, page_size, device, dtype, index_dim, kept)
        self._slots = [_Slot() for _ in range(SLOTS)]

    @property
    def nbytes(self) -> int:
        return sum(part.blocks.nbytes for part in self.store.parts)

    def reset(self) -> None:
        """Whatever was under way will not arrive."""
        self._slots = [_Slot() for _ in range(SLOTS)]

    def begin_fill(self, unit: Unit, source: "Source | None", channel: Channel) -> None:
        """Begins the broadcast of a unit: the index keys go first.

        ``source``: on the owner, where its pages are.

        Raises:
            RanksLost: the channel is broken.
        """
        slot = self._take(unit)
        if self.store.index is not None:
            slot.index = self._send(self.store.index, unit, source, channel, is_index=True)
        slot.kv = self._send(self.store.kv, unit, source, channel, is_index=False)

    def _send(
        self,
        part: PagedBlocks,
        unit: Unit,
        source: "Source | None",
        channel: Channel,
        *,
        is_index: bool,
    ) -> Pending:
        part.heads[unit.slot].zero_()
        part.tails[unit.slot].zero_()
        target = part.blocks[unit.slot, 1 : unit.pages + 1]
        if source is not None:
            blocks = source.index_blocks() if is_index else source.kv_blocks()
            torch.index_select(blocks, 0, source.pages, out=target)
        return channel.begin_broadcast(target, unit.owner)

    def _take(self, unit: Unit) -> _Slot:
        slot = self._slots[unit.slot]
        assert slot.unit is None, "a slot is filled that is still to be read"
        slot.unit, slot.index, slot.kv = unit, Arrived(), Arrived()
        return slot

    def enter(self, unit: Unit) -> None:
        """The unit's turn has come; if nothing is broadcast for it, its slot is taken now."""
        slot = self._slots[unit.slot]
        if slot.unit is None and not unit.pages:
            for part in self.store.parts:
                part.heads[unit.slot].zero_()
                part.tails[unit.slot].zero_()
            self._take(unit)

    def wait_index(self, unit: Unit) -> None:
        """The index keys of the unit may be read.

        Raises:
            RanksLost: they do not come.
        """
        slot = self._entered(unit)
        assert slot.index is not None
        slot.index.wait()

    def wait_kv(self, unit: Unit) -> None:
        """The same for keys and values."""
        slot = self._entered(unit)
        assert slot.kv is not None
        slot.kv.wait()

    def release(self, unit: Unit) -> None:
        """The unit was computed: its slot may be filled."""
        slot = self._entered(unit)
        slot.unit = slot.index = slot.kv = None

    def _entered(self, unit: Unit) -> _Slot:
        slot = self._slots[unit.slot]
        assert slot.unit == unit, "a slot is read that was not filled for this unit"
        return slot


class Source:
    """Where an owner has the pages of a unit. Asked for blocks only when they are to be read."""

    def __init__(self, store: KvStore, place: int, pages: torch.Tensor, wait: Readiness) -> None:
        self._store, self._place, self.pages, self._wait = store, place, pages, wait

    def index_blocks(self) -> torch.Tensor:
        assert self._store.index is not None
        self._wait.before_index(self._place)
        return self._store.index.blocks[self._place]

    def kv_blocks(self) -> torch.Tensor:
        self._wait.before_kv(self._place)
        return self._store.blocks[self._place]
