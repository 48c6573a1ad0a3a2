"""The thread that loads: layer by layer, while the engine computes the layers before."""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable
from typing import Any, Protocol

import torch

from inference_backend.hicache.load import HostLoad, LayerPoint

log = logging.getLogger(__name__)


class Copies(Protocol):
    """How a part of a load is copied. ``HostStore`` is one."""

    is_cuda: bool

    def load_tails(self, load: HostLoad) -> None: ...

    def load_kv(self, load: HostLoad, layer: int) -> None: ...

    def load_index(self, load: HostLoad, layer: int) -> None: ...


class Loader:
    """One load after the other. On a GPU the copies run on a stream of their own.

    Attributes:
        on_over: called in the loader's thread after each load.
    """

    def __init__(self, copies: Copies) -> None:
        self.copies = copies
        self.on_over: Callable[[], None] = lambda: None
        self._loads: queue.Queue[HostLoad | None] = queue.Queue()
        self._stream: Any = None
        self._thread = threading.Thread(target=self._run, name="hicache-loader", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, load: HostLoad) -> None:
        self._loads.put(load)

    def close(self, timeout_seconds: float = 5.0) -> None:
        """Ends the thread after the loads that were submitted."""
        self._loads.put(None)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (load := self._loads.get()) is not None:
            try:
                with self._on_stream():
                    self._load(load)
            except Exception as error:  # the thread's supervisor: the load fails, not the thread
                log.exception("a load from the host tier failed")
                load.error = f"{type(error).__name__}: {error}"
            self._drain(load)
            load.finish()
            self.on_over()

    def _load(self, load: HostLoad) -> None:
        """A layer's index keys come after its keys and values, as in shipped engines."""
        if load.queued is not None:
            load.queued.synchronize()
        if load.is_cancelled:
            return
        self.copies.load_tails(load)
        for layer, point in enumerate(load.kv):
            if load.is_cancelled:
                return
            self.copies.load_kv(load, layer)
            self._arrived(point)
            if layer < len(load.index):
                self.copies.load_index(load, layer)
                self._arrived(load.index[layer])

    def _on_stream(self) -> Any:
        if not self.copies.is_cuda:
            return contextlib.nullcontext()
        if self._stream is None:
            self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        return torch.cuda.stream(self._stream)

    def _arrived(self, point: LayerPoint) -> None:
        point.set(None if self._stream is None else self._stream.record_event())

    def _drain(self, load: HostLoad) -> None:
        """Nothing that was queued for this load may still be under way when it is over."""
        if self._stream is not None:
            try:
                self._stream.synchronize()
            except RuntimeError as error:  # the device itself failed
                load.error = f"{type(error).__name__}: {error}"
