"""The host tier in the engine: begins loads, lets attention wait for them, ends what failed."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from inference_backend.hicache.host_store import HostStore
from inference_backend.hicache.load import HostLoad
from inference_backend.hicache.loader import Loader
from inference_backend.hicache.numbers import HostNumbers
from inference_backend.hicache.readiness import LoadReadiness
from inference_backend.hicache.tier import HostTier
from inference_backend.kv.lease import Lease, PageCache
from inference_backend.kv.store import KvStore


class HostCache:
    """The engine's thread only.

    Attributes:
        on_save, on_load: told of each copy out, page and slot, and of each load begun.
    """

    def __init__(
        self, store: KvStore, cache: PageCache, num_slots: int, readiness: LoadReadiness
    ) -> None:
        self.readiness = readiness
        self.on_save: Callable[[int, int], None] = lambda page, slot: None
        self.on_load: Callable[[HostLoad], None] = lambda load: None
        self.loaded_pages = self.failed_loads = 0
        self._device, self._cache = store, cache
        self._active: list[HostLoad] = []
        self._begin_empty(num_slots)

    def _begin_empty(self, num_slots: int) -> None:
        self.store = HostStore(self._device, num_slots)
        self.tier = HostTier(num_slots, self._save)
        self.loader = Loader(self.store)
        self._cache.tier = self.tier

    def restart(self) -> None:
        """The device's pages are other ones, and empty: so are the slots."""
        on_over = self.loader.on_over
        self.loader.close()
        self.settle()
        self._begin_empty(self.tier.index.num_slots)
        self.loader.on_over = on_over

    def _save(self, page: int, slot: int) -> None:
        self.store.save(page, slot)
        self.on_save(page, slot)

    def begin(self, leases: Iterable[Lease]) -> None:
        """Starts the loads of leases whose first tokens are to be computed now."""
        for lease in leases:
            if lease.spilled and lease.load is None:
                lease.load = self._begin(lease)
        self.settle()

    def _begin(self, lease: Lease) -> HostLoad:
        places = slice(lease.reused - len(lease.spilled), lease.reused)
        load = HostLoad(
            lease.spilled,
            lease.pages[places],
            lease.epochs[places],
            self.store.num_layers,
            self.store.num_index_layers,
            self.store.mark(),
        )
        self._active.append(load)
        self.loader.submit(load)
        self.on_load(load)
        return load

    @contextlib.contextmanager
    def reading(self, leases: Sequence[Lease]) -> Iterator[None]:
        """Attention within reads pages of these leases: it waits for what is on its way."""
        loads = [lease.load for lease in leases if isinstance(lease.load, HostLoad)]
        with self.readiness.reading([load for load in loads if not load.is_over]):
            yield

    def settle(self) -> None:
        """Loads that are over give their host pages back; what a failed one read is forgotten."""
        for load in [load for load in self._active if load.is_over]:
            self._active.remove(load)
            if load.failure is not None:
                self.failed_loads += 1
                self.tier.index.discard(load.sources)
            elif not load.is_cancelled:
                self.loaded_pages += len(load.pages)
            self.tier.index.release(load.sources)

    def failure(self, lease: Lease) -> str | None:
        """Why the lease's pages are not what they should be. Then nobody finds them any more."""
        load = lease.load
        if not isinstance(load, HostLoad) or load.failure is None:
            return None
        lease.is_private = True
        for page in load.pages:
            self._cache.prefix.remove(page)
        return load.failure

    def pending(self, lease: Lease) -> Iterable[int]:
        """Places in the lease whose content is on its way."""
        if lease.load is None or lease.load.is_over:
            return ()
        return range(lease.reused - len(lease.spilled), lease.reused)

    def check_integrity(self) -> None:
        """Asserts that every host slot is accounted for."""
        self.settle()
        self.tier.index.check_integrity([page for load in self._active for page in load.sources])

    def numbers(self) -> HostNumbers:
        """For metrics; any thread."""
        index = self.tier.index
        return HostNumbers(
            pages_total=index.num_slots,
            pages_used=len(index),
            stored_total=index.stored,
            loaded_total=self.loaded_pages,
            failed_loads_total=self.failed_loads,
        )

    def close(self) -> None:
        """Ends the loader's thread."""
        self.loader.close()
