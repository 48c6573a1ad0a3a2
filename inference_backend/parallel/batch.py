"""What the first rank tells the others: JSON. Knows no tensors.

The first rank alone plans: it has the requests, the pages' accounting and the host tier's index.
Page numbers mean the same on all ranks.
"""

import msgspec

from inference_backend.engine.scheduler import Chunk
from inference_backend.hicache.load import HostLoad


class Part(msgspec.Struct, frozen=True):
    """A chunk of one sequence.

    Attributes:
        first, width: positions ``[first, first + width)`` are to be computed.
        pages: of the sequence up to the chunk's end.
        epochs: their allocations; ``None`` without a sanitizer.
    """

    first: int
    width: int
    pages: list[int]
    epochs: list[int] | None


class Load(msgspec.Struct, frozen=True):
    """Host slots that are to be loaded into device pages.

    ``saved`` are the allocations that the slots were saved from, ``epochs`` those of the pages.
    """

    slots: list[int]
    saved: list[int]
    pages: list[int]
    epochs: list[int]


class Batch(msgspec.Struct, frozen=True, tag="batch"):
    """One pass.

    Attributes:
        moves: what the host tier does before it, in order: a load, or a page and the slot that it
            is saved to.
    """

    token_ids: list[int]
    parts: list[Part]
    moves: list[Load | tuple[int, int]]


class Regroup(msgspec.Struct, frozen=True, tag="regroup"):
    """A rank was lost: the others meet anew, and begin with an empty cache."""

    generation: int


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """The end."""


Command = Batch | Regroup | Stop

encode = msgspec.json.encode
decode = msgspec.json.Decoder(Command).decode


def part_of(chunk: Chunk, page_size: int, *, is_checked: bool) -> Part:
    lease = chunk.sequence.lease
    assert lease is not None
    count = -(-chunk.end // page_size)
    epochs = lease.epochs[:count] if is_checked else None
    return Part(chunk.start, chunk.end - chunk.start, lease.pages[:count], epochs)


def tokens_of(chunks: list[Chunk]) -> list[int]:
    return [token for chunk in chunks for token in chunk.sequence.tokens[chunk.start : chunk.end]]


def load_of(load: HostLoad) -> Load:
    return Load(
        [page.slot for page in load.sources],
        [page.epoch for page in load.sources],
        load.pages,
        load.epochs,
    )
