"""The two ways in which ranks store the cache, as one pass sees them."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from inference_backend.kv.readiness import Readiness
from inference_backend.kv.store import KeptLayers, KvStore
from inference_backend.parallel.batch import Part
from inference_backend.parallel.channel import Channel
from inference_backend.parallel.exchange import NewRows, Where, put_rows
from inference_backend.parallel.owners import KvLayout, LayerOwners
from inference_backend.parallel.rows import Rows
from inference_backend.parallel.schedule import Step, Unit, plan_pass
from inference_backend.parallel.staging import Source, Staging


class Layout(Protocol):
    """What attention reads, and how it comes there. One pass at a time.

    Attributes:
        view: the store that attention reads.
    """

    view: KvStore

    def begin(self, parts: Sequence[Part], rows: Rows) -> list[Step]:
        """A pass begins; its order."""
        ...

    def table(self, part: Part) -> list[int]:
        """The pages of a chunk's sequence in ``view``."""
        ...

    def place(self, unit: Unit) -> int:
        """The unit's layer in ``view``."""
        ...

    def issue(self, unit: Unit) -> None:
        """Begins what the unit's owner broadcasts."""
        ...

    def is_stored(self, layer: int) -> bool:
        """Whether this rank keeps the layer."""
        ...

    def put_index(self, unit: Unit, new: NewRows) -> None:
        """Returns when the unit's index keys may be read, the new ones among them."""
        ...

    def put_kv(self, unit: Unit, new: NewRows) -> None:
        """The same for keys and values."""
        ...

    def end(self, unit: Unit) -> None:
        """The unit was computed."""
        ...


def kept_layers(layout: KvLayout, owners: LayerOwners, rank: int) -> KeptLayers:
    """What a rank stores; the draft head's layer and states are the first rank's."""
    has_draft = owners.has_draft and rank == 0
    if layout is KvLayout.REPLICATED:
        held = owners.num_layers
    else:
        held = sum(layer < owners.num_layers for layer in owners.owned(rank))
    return KeptLayers(held + int(has_draft), held, has_tails=rank == 0)


class Replicated:
    """Every rank stores all layers: new rows are all that is exchanged."""

    def __init__(self, store: KvStore, owners: LayerOwners, readiness: Readiness) -> None:
        self.view, self._owners, self._readiness = store, owners, readiness
        self._where: Where | None = None
        self._rows: Rows | None = None

    def begin(self, parts: Sequence[Part], rows: Rows) -> list[Step]:
        size = self.view.page_size
        self._rows = rows
        self._where = Where(rows.pages, rows.positions, rows.begins, size)
        return plan_pass(self._owners, [0] * len(parts), ahead=0)

    def table(self, part: Part) -> list[int]:
        return part.pages

    def place(self, unit: Unit) -> int:
        return unit.layer

    def issue(self, unit: Unit) -> None:
        raise AssertionError("nothing is broadcast in this layout")

    def is_stored(self, layer: int) -> bool:
        return True

    def put_index(self, unit: Unit, new: NewRows) -> None:
        assert self.view.index is not None
        if unit.group == 0:
            put_all(self.view, unit.layer, new, self._where, self._rows, is_index=True)
        self._readiness.before_index(unit.layer)

    def put_kv(self, unit: Unit, new: NewRows) -> None:
        if unit.group == 0:
            put_all(self.view, unit.layer, new, self._where, self._rows, is_index=False)
        self._readiness.before_kv(unit.layer)

    def end(self, unit: Unit) -> None:
        pass


class Split:
    """LayerSplit: a layer's owner stores it, and broadcasts to the others what they read of it.

    All ranks, the owner too, read from the staging area.
    """

    def __init__(
        self,
        store: KvStore,
        staging: Staging,
        owners: LayerOwners,
        channel: Channel,
        readiness: Readiness,
        ahead: int,
    ) -> None:
        self._store, self._staging, self._owners = store, staging, owners
        self._channel, self._readiness, self._ahead = channel, readiness, ahead
        self.view = staging.store
        self._rows: Rows | None = None
        self._where: Where | None = None
        self._staged: list[Where] = []
        self._sources: list[Tensor] = []

    def begin(self, parts: Sequence[Part], rows: Rows) -> list[Step]:
        size, device = self._store.page_size, self._store.device
        self._staging.reset()
        self._rows = rows
        self._where = Where(rows.pages, rows.positions, rows.begins, size)
        counts = [part.first // size for part in parts]
        self._sources = [
            torch.tensor(part.pages[:count], dtype=torch.long, device=device)
            for part, count in zip(parts, counts, strict=True)
        ]
        self._staged = [_staged_rows(part, size, device) for part in parts]
        return plan_pass(self._owners, counts, self._ahead)

    def table(self, part: Part) -> list[int]:
        return list(range(1, len(part.pages) + 1))

    def place(self, unit: Unit) -> int:
        return unit.slot

    def issue(self, unit: Unit) -> None:
        source = None
        if unit.owner == self._channel.rank:
            place, pages = self._owners.place(unit.layer), self._sources[unit.group]
            source = Source(self._store, place, pages, self._readiness)
        self._staging.begin_fill(unit, source, self._channel)

    def is_stored(self, layer: int) -> bool:
        return self._owners.owner(layer) == self._channel.rank

    def put_index(self, unit: Unit, new: NewRows) -> None:
        self._keep(unit, new, is_index=True)
        assert self.view.index is not None
        put_rows(self.view.index, unit.slot, *self._of(unit, new), self._staged[unit.group])
        self._staging.wait_index(unit)

    def put_kv(self, unit: Unit, new: NewRows) -> None:
        self._keep(unit, new, is_index=False)
        put_rows(self.view.kv, unit.slot, *self._of(unit, new), self._staged[unit.group])
        self._staging.wait_kv(unit)

    def _keep(self, unit: Unit, new: NewRows, *, is_index: bool) -> None:
        """The owner stores the rows of all sequences at once."""
        self._staging.enter(unit)
        if unit.group == 0 and self.is_stored(unit.layer):
            place = self._owners.place(unit.layer)
            put_all(self._store, place, new, self._where, self._rows, is_index=is_index)

    def _of(self, unit: Unit, new: NewRows) -> tuple[Tensor, Tensor | None]:
        """The rows of one sequence."""
        assert self._rows is not None
        first, end = self._rows.bounds[unit.group : unit.group + 2]
        rows, tags = new.get()
        return rows[first:end], None if self._rows.tags is None else tags[first:end]

    def end(self, unit: Unit) -> None:
        self._staging.release(unit)


def put_all(
    store: KvStore,
    layer: int,
    new: NewRows,
    where: Where | None,
    rows: Rows | None,
    *,
    is_index: bool,
) -> None:
    """Stores a layer's new rows of all sequences."""
    assert where is not None
    assert rows is not None
    blocks = store.index if is_index else store.kv
    assert blocks is not None
    data, tags = new.get()
    put_rows(blocks, layer, data, None if rows.tags is None else tags, where)


def _staged_rows(part: Part, page_size: int, device: torch.device) -> Where:
    positions = torch.arange(part.first, part.first + part.width)
    begins = (positions % page_size == 0).nonzero().flatten()
    pages = positions // page_size + 1
    return Where(pages.to(device), positions.to(device), begins.to(device), page_size)
