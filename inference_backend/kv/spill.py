"""What the page accounting needs of a tier below the device's pages. Knows no tensors."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol


class SpillTier(Protocol):
    """Keeps the content of evicted pages. ``hicache.tier.HostTier`` is one.

    Its own pages are opaque here (``Any``): they are handed back as they came.
    """

    def published(self, page: int, before: int | str, tokens: Sequence[int]) -> None:
        """``page`` can be found after ``before`` (a page, or the salt), and holds ``tokens``."""
        ...

    def evicted(self, page: int, epoch: int, *, is_tainted: bool) -> None:
        """A published page is about to get other content."""
        ...

    def match(self, before: int | str, pages: Iterable[Sequence[int]]) -> list[Any]:
        """The longest run after ``before``, held until it is released."""
        ...

    def is_tainted(self, spilled: Any) -> bool:
        """Whether the content was computed from wrong cache."""
        ...

    def release(self, spilled: list[Any]) -> None:
        """They were not loaded."""
        ...


class PageLoad(Protocol):
    """Pages of a lease on their way from the tier."""

    @property
    def is_over(self) -> bool: ...

    def cancel(self) -> bool:
        """Asks it to stop; whether nothing will be written any more."""
        ...
