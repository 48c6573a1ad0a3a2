"""Whose allocation a page is in, and the tags that say so beside the data. Plain integers."""

import enum

REMEMBERED = 200_000


class Mover(enum.IntEnum):
    """What put the content into a page."""

    COMPUTE = 0  # the engine's own forward pass
    TRANSFER = 1  # a prefill's one-sided write
    LOAD = 2  # the host tier


MOVER_BITS = 2
MOVERS = {mover.value: mover for mover in Mover}


def tag_of(epoch: int, mover: Mover) -> int:
    """What stands beside the data of a page: the allocation it was written for, and by what."""
    return epoch << MOVER_BITS | mover


def read_tag(tag: int) -> tuple[int, Mover | None]:
    """Epoch and mover of a tag; no mover if the bits mean none."""
    bits = tag & (1 << MOVER_BITS) - 1
    return tag >> MOVER_BITS, MOVERS.get(bits)


class Epochs:
    """Numbers every allocation of a page, and remembers for whom the last ones were made.

    Numbers rise and are never used twice; 0 is none. ``tainted`` pages were computed from wrong
    cache: their content is what the engine meant to write, and wrong all the same.
    """

    def __init__(self, num_pages: int) -> None:
        self._current = [0] * (num_pages + 1)
        self._owners: dict[int, str] = {}
        self._last = 0
        self.tainted: set[int] = set()

    def begin(self, page: int, owner: str) -> int:
        """A new allocation of ``page`` for the request ``owner``."""
        self._last += 1
        self._current[page] = self._last
        self._owners[self._last] = owner
        self.tainted.discard(page)
        if len(self._owners) > REMEMBERED:
            del self._owners[next(iter(self._owners))]
        return self._last

    @property
    def last(self) -> int:
        """The newest allocation of all."""
        return self._last

    def current(self, page: int) -> int:
        return self._current[page]

    def owner(self, epoch: int) -> str | None:
        """The request an allocation was made for; ``None`` if it is unknown or long ago."""
        return self._owners.get(epoch)
