"""What attention waits for while pages are on their way from the host."""

import contextlib
import enum
from collections.abc import Iterator, Sequence

import torch

from inference_backend.hicache.load import HostLoad, LayerPoint

LOAD_TIMEOUT_SECONDS = 30.0


class LoadSync(enum.StrEnum):
    """What a layer's first reader waits for."""

    FULL = "full"  # one point a layer covers all that the layer reads
    KV_ONLY = "kv-only"  # as shipped: nobody waits for the index cache, which is loaded last


class LoadReadiness:
    """Waits for the loads that the current pass reads from.

    A load that failed or hangs holds nobody up for ever: its sequence is ended after the pass, with
    all that the pass computed for it.
    """

    def __init__(self, sync: LoadSync, timeout_seconds: float = LOAD_TIMEOUT_SECONDS) -> None:
        self._sync, self._timeout_seconds = sync, timeout_seconds
        self._loads: Sequence[HostLoad] = ()

    @contextlib.contextmanager
    def reading(self, loads: Sequence[HostLoad]) -> Iterator[None]:
        """Attention within reads pages of these loads."""
        self._loads = loads
        try:
            yield
        finally:
            self._loads = ()

    def before_index(self, layer: int) -> None:
        if self._sync is LoadSync.FULL:
            self._wait(layer, with_index=True)

    def before_kv(self, layer: int) -> None:
        self._wait(layer, with_index=self._sync is LoadSync.FULL)

    def _wait(self, layer: int, *, with_index: bool) -> None:
        for load in self._loads:
            self._wait_for(load, load.kv[layer])
            if with_index and layer < len(load.index):
                self._wait_for(load, load.index[layer])

    def _wait_for(self, load: HostLoad, point: LayerPoint) -> None:
        if load.failure is not None:
            return
        if not point.wait(self._timeout_seconds):
            load.give_up(f"nothing arrived in {self._timeout_seconds:g} s")
        elif point.event is not None:
            torch.cuda.current_stream().wait_event(point.event)
