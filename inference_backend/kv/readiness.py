"""Where attention waits until a layer's cache has arrived. Knows no threads and no tensors."""

from typing import Protocol


class Readiness(Protocol):
    """Asked before the first read of a layer; returns when reading is allowed."""

    def before_index(self, layer: int) -> None: ...

    def before_kv(self, layer: int) -> None: ...


class AlwaysReady:
    """Nothing is ever loaded."""

    def before_index(self, layer: int) -> None:
        pass

    def before_kv(self, layer: int) -> None:
        pass
