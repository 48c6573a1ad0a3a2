"""One load: pages on their way from the host to the device, and what has arrived of each layer."""

import threading
from collections.abc import Sequence
from typing import Any

from inference_backend.hicache.host_index import HostPage


class LayerPoint:
    """Something of one layer has arrived.

    On a GPU the copy is only queued when this is set; ``event`` says when it is done.
    """

    __slots__ = ("_is_set", "event")

    def __init__(self) -> None:
        self._is_set = threading.Event()
        self.event: Any = None  # torch.cuda.Event

    def set(self, event: Any = None) -> None:
        self.event = event
        self._is_set.set()

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it was set in time."""
        return self._is_set.wait(timeout_seconds)


class HostLoad:
    """The loader writes it, the engine reads it; each field is written by one side only.

    Attributes:
        sources: host pages, in the order of the sequence.
        pages: device pages that they are copied to.
        epochs: the allocations of those.
        queued: what the device has to finish before the pages may be overwritten (a CUDA event).
        kv: a point for every layer, the draft head's last. The first also covers the states that
            the draft head continues from.
        index: a point for every layer of the index cache; empty without sparse attention.
        error: why the loader failed; ``None`` if it did not (yet).
    """

    def __init__(
        self,
        sources: Sequence[HostPage],
        pages: Sequence[int],
        epochs: Sequence[int],
        num_layers: int,
        num_index_layers: int,
        queued: Any = None,
    ) -> None:
        self.sources, self.pages, self.epochs = tuple(sources), list(pages), list(epochs)
        self.queued = queued
        self.kv = [LayerPoint() for _ in range(num_layers)]
        self.index = [LayerPoint() for _ in range(num_index_layers)]
        self.error: str | None = None
        self.given_up: str | None = None
        self.is_cancelled = False
        self._over = threading.Event()

    @property
    def is_over(self) -> bool:
        """Nothing will be written any more. Never true because time has passed."""
        return self._over.is_set()

    def cancel(self) -> bool:
        """Asks the loader to stop; whether nothing will be written any more."""
        self.is_cancelled = True
        return self.is_over

    def give_up(self, reason: str) -> None:
        """The engine does not wait any longer. The loader may still write."""
        self.given_up = reason
        self.is_cancelled = True

    @property
    def failure(self) -> str | None:
        """Why what it was to bring cannot be used."""
        return self.error or self.given_up

    def finish(self) -> None:
        """The loader wrote its last byte. Whoever waits goes on."""
        for point in (*self.kv, *self.index):
            point.set(point.event)
        self._over.set()

    def wait(self, timeout_seconds: float) -> bool:
        """Whether it was over in time."""
        return self._over.wait(timeout_seconds)
