"""Which pages go where: one step of a transfer. Plain integers."""

from collections.abc import Iterator
from dataclasses import dataclass

from inference_backend.disaggregation.messages import Offer
from inference_backend.engine.scheduler import Chunk
from inference_backend.kv.lease import Lease


@dataclass(frozen=True, slots=True)
class PageMove:
    """Own pages ``sources`` go over another engine's ``targets``, place by place.

    Attributes:
        source_epochs, target_epochs: the allocations that these are in, on either side.
    """

    sources: list[int]
    source_epochs: list[int]
    targets: list[int]
    target_epochs: list[int]

    def parts(self, size: int) -> Iterator["PageMove"]:
        """The same, at most ``size`` pages at a time."""
        for start in range(0, len(self.sources), size):
            part = slice(start, start + size)
            yield PageMove(
                self.sources[part],
                self.source_epochs[part],
                self.targets[part],
                self.target_epochs[part],
            )


def move_to_lent(offer: Offer, lease: Lease, places: range) -> PageMove:
    """From the pages of a lease to those that were lent for the same places of the prompt."""
    return PageMove(
        [lease.pages[place] for place in places],
        [lease.epochs[place] for place in places],
        [offer.pages[place - offer.first] for place in places],
        [offer.epochs[place - offer.first] for place in places],
    )


def places_to_send(offer: Offer, lease: Lease, chunk: Chunk, page_size: int) -> range:
    """Places in the prompt whose pages are full after the chunk and were not before.

    With the first chunk go the pages that were found in the prefix cache.
    """
    is_first = chunk.start == lease.reused * page_size
    start = 0 if is_first else chunk.start // page_size
    start = max(start, offer.first)
    end = min(chunk.end // page_size, offer.first + len(offer.pages))
    return range(start, max(start, end))
