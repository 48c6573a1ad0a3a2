"""Which rank stores which layer, and where there. Plain integers."""

import enum
from dataclasses import dataclass


class KvLayout(enum.StrEnum):
    """How the ranks of one prefill store the cache."""

    REPLICATED = "replicated"  # every rank stores all layers
    SPLIT = "split"  # LayerSplit: each layer is stored by one rank


@dataclass(frozen=True, slots=True)
class LayerOwners:
    """The owners of a model's layers, in turn, so that no two ranks differ by more than one.

    In turn and not in blocks: with a host tier below, the ranks then load the layers that are
    needed first at the same time.

    Attributes:
        num_layers: of the target.
        ranks: how many there are; more than layers leave some without any.
        has_draft: there is a draft head. Its layer, number ``num_layers``, is the first rank's,
            which drafts alone; that rank's turn is then over.
    """

    num_layers: int
    ranks: int
    has_draft: bool = False

    def owner(self, layer: int) -> int:
        """The rank that stores a layer."""
        if layer == self.num_layers:
            return 0
        return (layer + int(self.has_draft)) % self.ranks

    def owned(self, rank: int) -> list[int]:
        """The layers of a rank, rising; the draft head's is the last."""
        layers = range(self.num_layers + int(self.has_draft))
        return [layer for layer in layers if self.owner(layer) == rank]

    def place(self, layer: int) -> int:
        """Where the owner has the layer, counted among its own."""
        if layer == self.num_layers:
            return len(self.owned(0)) - 1
        return (layer + int(self.has_draft)) // self.ranks - int(
            self.has_draft and self.owner(layer) == 0
        )
