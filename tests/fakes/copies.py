"""Copies from the host tier that are slow, stuck or broken. They copy what the real ones copy."""

import threading
import time
from collections.abc import Callable

from inference_backend.hicache.load import HostLoad
from inference_backend.hicache.loader import Copies


class OddCopies:
    """Calls ``before(what, layer)`` before each real copy: ``tails``, ``kv`` or ``index``."""

    def __init__(self, inner: Copies, before: Callable[[str, int], None]) -> None:
        self._inner, self._before = inner, before
        self.is_cuda = inner.is_cuda
        self.seen: list[tuple[str, int]] = []

    def load_tails(self, load: HostLoad) -> None:
        self._note("tails", 0)
        self._inner.load_tails(load)

    def load_kv(self, load: HostLoad, layer: int) -> None:
        self._note("kv", layer)
        self._inner.load_kv(load, layer)

    def load_index(self, load: HostLoad, layer: int) -> None:
        self._note("index", layer)
        self._inner.load_index(load, layer)

    def _note(self, what: str, layer: int) -> None:
        self._before(what, layer)
        self.seen.append((what, layer))


def slow(what: str, seconds: float) -> Callable[[str, int], None]:
    """Each copy of that kind takes so much longer."""

    def before(kind: str, _layer: int) -> None:
        if kind == what:
            time.sleep(seconds)

    return before


def broken_at(what: str, layer: int) -> Callable[[str, int], None]:
    """The copy of that kind and layer fails."""

    def before(kind: str, at: int) -> None:
        if (kind, at) == (what, layer):
            raise OSError("host memory is gone")

    return before


class StuckAt:
    """That copy waits until ``go_on`` is set; ``reached`` says that it does."""

    def __init__(self, what: str, layer: int) -> None:
        self._place = (what, layer)
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __call__(self, what: str, layer: int) -> None:
        if (what, layer) == self._place:
            self.reached.set()
            self.go_on.wait(60)
