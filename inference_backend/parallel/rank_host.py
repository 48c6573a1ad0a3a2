"""The host tier of a rank that does not plan: it copies what the first rank's index says."""

import contextlib
from collections.abc import Iterator

from inference_backend.errors import RanksLost
from inference_backend.hicache.host_index import HostPage
from inference_backend.hicache.host_store import HostStore
from inference_backend.hicache.load import HostLoad
from inference_backend.hicache.loader import Loader
from inference_backend.hicache.readiness import LoadReadiness
from inference_backend.kv.store import KvStore
from inference_backend.parallel.batch import Batch, Load


class RankHost:
    """Slots for the layers that the rank stores."""

    def __init__(self, store: KvStore, num_slots: int, readiness: LoadReadiness) -> None:
        self._store, self._num_slots, self._readiness = store, num_slots, readiness
        self.host = HostStore(store, num_slots)
        self.loader = Loader(self.host)
        self._active: list[HostLoad] = []

    def restart(self) -> None:
        """The store has other layers, all empty. Loads that were under way end first."""
        self.loader.close()
        self._active.clear()
        self.host = HostStore(self._store, self._num_slots)
        self.loader = Loader(self.host)

    @contextlib.contextmanager
    def moving(self, batch: Batch) -> Iterator[None]:
        """Saves and begins loads; attention within waits for what is on its way."""
        for move in batch.moves:
            if isinstance(move, Load):
                self._load(move)
            else:
                self.host.save(*move)
        with self._readiness.reading(self._active):
            yield
        self._active = [load for load in self._active if not load.is_over]

    def check(self) -> None:
        """Raises ``RanksLost`` if something could not be loaded: nothing of the pass counts."""
        failed = [load.failure for load in self._active if load.failure is not None]
        if failed:
            raise RanksLost(f"a rank could not load from host memory ({failed[0]})")

    def _load(self, move: Load) -> None:
        sources = [
            HostPage(b"", slot, epoch, is_tainted=False)
            for slot, epoch in zip(move.slots, move.saved, strict=True)
        ]
        load = HostLoad(
            sources,
            move.pages,
            move.epochs,
            self.host.num_layers,
            self.host.num_index_layers,
            self.host.mark(),
        )
        self._active.append(load)
        self.loader.submit(load)

    def close(self) -> None:
        self.loader.close()
