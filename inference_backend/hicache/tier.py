"""The host tier as the page accounting sees it. No tensors: copying is somebody else's."""

from collections.abc import Callable, Iterable, Sequence

from inference_backend.hicache.host_index import HostIndex, HostPage, Key, first_key, next_key

Save = Callable[[int, int], None]
"""``save(page, slot)``: copies a device page out, before anything else is written to it."""


class HostTier:
    """Knows the content of every published device page, and of every host slot."""

    def __init__(self, num_slots: int, save: Save) -> None:
        self.index = HostIndex(num_slots)
        self._save = save
        self._keys: dict[int, Key] = {}

    def published(self, page: int, before: int | str, tokens: Sequence[int]) -> None:
        self._keys[page] = next_key(self._key(before), tokens)

    def evicted(self, page: int, epoch: int, *, is_tainted: bool) -> None:
        slot = self.index.put(self._keys[page], epoch, is_tainted=is_tainted)
        if slot is not None:
            self._save(page, slot)

    def match(self, before: int | str, pages: Iterable[Sequence[int]]) -> list[HostPage]:
        return self.index.match(self._key(before), pages)

    def is_tainted(self, spilled: HostPage) -> bool:
        return spilled.is_tainted

    def release(self, spilled: list[HostPage]) -> None:
        self.index.release(spilled)

    def _key(self, before: int | str) -> Key:
        return first_key(before) if isinstance(before, str) else self._keys[before]
