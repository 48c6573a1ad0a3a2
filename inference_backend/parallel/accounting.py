"""How many bytes of cache a rank stores, and how many pages fit into a budget. Plain integers."""

from dataclasses import dataclass

from inference_backend.parallel.owners import KvLayout, LayerOwners
from inference_backend.parallel.schedule import SLOTS


@dataclass(frozen=True, slots=True)
class PageBytes:
    """What one page takes in one layer, with the tags around it.

    Attributes:
        kv: keys and values.
        index: index keys; 0 without sparse attention.
    """

    kv: int
    index: int = 0


def stored_bytes(
    size: PageBytes, owners: LayerOwners, layout: KvLayout, rank: int, pages: int
) -> int:
    """Bytes of ``pages`` pages on a rank, without staging."""
    if layout is KvLayout.REPLICATED:
        held = list(range(owners.num_layers + int(owners.has_draft)))
    else:
        held = owners.owned(rank)
    indexed = sum(layer < owners.num_layers for layer in held)
    return pages * (len(held) * size.kv + indexed * size.index)


def staging_bytes(size: PageBytes, layout: KvLayout, staged_pages: int) -> int:
    """Bytes of the staging area for contexts of up to ``staged_pages`` pages.

    It does not grow with the number of sequences: they are staged one after the other.
    """
    if layout is KvLayout.REPLICATED:
        return 0
    return SLOTS * staged_pages * (size.kv + size.index)


def pages_within(
    budget: int, size: PageBytes, owners: LayerOwners, layout: KvLayout, staged_pages: int
) -> int:
    """Pages that every rank can store with ``budget`` bytes, staging included; 0 if none fits."""
    left = budget - staging_bytes(size, layout, staged_pages)
    per_page = max(
        stored_bytes(size, owners, layout, rank, pages=1) for rank in range(owners.ranks)
    )
    return max(0, left // per_page)
