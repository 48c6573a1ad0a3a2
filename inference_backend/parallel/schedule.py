"""When what is broadcast, and into which staging slot: the order of one pass, as data.

All ranks follow the same order, which collective operations need. Nothing is sent here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from inference_backend.parallel.owners import LayerOwners

SLOTS = 2
"""Double buffering: one slot is read while the other is filled."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One sequence in one layer: what attention reads at a time, and what a slot holds.

    Attributes:
        number: units are computed in rising order.
        group: which of the pass's sequences.
        owner: the rank that broadcasts it.
        pages: how many the owner broadcasts: those before the chunk. 0: nothing has to be sent.
    """

    number: int
    layer: int
    group: int
    owner: int
    pages: int

    @property
    def slot(self) -> int:
        return self.number % SLOTS


@dataclass(frozen=True, slots=True)
class Step:
    """Before ``unit`` is computed, the broadcasts of ``issue`` are begun, in this order."""

    unit: Unit
    issue: tuple[Unit, ...]


def plan_pass(owners: LayerOwners, pages: Sequence[int], ahead: int) -> list[Step]:
    """The order of one pass over sequences of which ``pages`` are stored already.

    ``ahead`` 0: a unit is broadcast when its layer's turn comes, as published for sparse attention:
    index keys first, then keys and values while the indexer computes. 1: one unit earlier, so that
    it has the whole of the unit before to hide behind; full attention needs that. More would need
    more slots.

    The slot of the unit that is issued last was read by the unit before the current one: it is free
    when the current one begins.
    """
    assert ahead in (0, 1), "two slots allow for one unit ahead"
    units = [
        Unit(layer * len(pages) + group, layer, group, owners.owner(layer), count)
        for layer in range(owners.num_layers)
        for group, count in enumerate(pages)
    ]
    return [Step(unit, tuple(_due(units, unit.number, ahead))) for unit in units]


def _due(units: list[Unit], current: int, ahead: int) -> list[Unit]:
    """The first step also issues what comes before its own."""
    first = 0 if current == 0 else current + ahead
    return [unit for unit in units[first : current + ahead + 1] if unit.pages]
