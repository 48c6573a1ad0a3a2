"""The other half of a disaggregated engine, as far as the engine needs to know it."""

from collections.abc import Iterable
from typing import Protocol

from inference_backend.engine.sequence import Sequence


class Partner(Protocol):
    """Told by the engine's thread."""

    def request_over(self, sequence: Sequence, abort_message: str | None) -> None:
        """A request ended here, completely or (with a message) early."""
        ...

    def pending(self, sequence: Sequence) -> Iterable[int]:
        """Places in the sequence's lease whose content is on its way."""
        ...
