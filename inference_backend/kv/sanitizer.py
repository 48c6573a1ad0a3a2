"""Knows, for every token, whether the cache it was computed from was what it should have been.

Attention compares the tags beside each page's data with the allocation that the sequence relies on
(``page_check``) and flags the sequences that read something else. For those few this module looks
closer: what kind of corruption, and whose write it was. No statistic can do that: pages of another
user's request give fluent text.
"""

import enum
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from inference_backend.kv.epochs import MOVER_BITS, Epochs, read_tag
from inference_backend.kv.labels import Corruption, KvLabels, Writer
from inference_backend.kv.lease import Lease, PageCache
from inference_backend.kv.store import KvStore

MAX_RECORDS = 10_000


class SanitizerMode(enum.StrEnum):
    """What happens to a generation that read wrong cache."""

    OFF = "off"
    RECORD = "record"  # it is labelled and goes on
    STOP = "stop"  # it ends before a token computed from it leaves


@dataclass(frozen=True, slots=True)
class SanitizerRecord:
    """One generation that read wrong cache."""

    request_id: str
    labels: KvLabels
    completion_tokens: int
    finish_reason: str | None


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step of a sequence read."""

    kind: Corruption
    writers: list[Writer]
    pages: list[int]


class KvSanitizer:
    """Labels, taint and records.

    Args:
        mode: not ``OFF``; an engine without a sanitizer has none of these.
    """

    def __init__(self, mode: SanitizerMode, store: KvStore, cache: PageCache) -> None:
        self.mode, self.page_size = mode, cache.page_size
        self._store, self._cache = store, cache
        self._records: OrderedDict[str, SanitizerRecord] = OrderedDict()
        self.tokens = dict.fromkeys(Corruption, 0)
        self.generations = 0

    def records(self) -> list[SanitizerRecord]:
        return list(self._records.values())

    def inherits(self, lease: Lease) -> bool:
        """Whether the pages that a new lease found were computed from wrong cache."""
        tainted = self._cache.epochs.tainted
        return bool(tainted) and not tainted.isdisjoint(lease.pages[: lease.reused])

    def examine(self, lease: Lease, tokens: int, pending: Iterable[int] = ()) -> Finding:
        """Looks at the pages of a flagged sequence that read its first ``tokens`` tokens.

        ``pending``: places in the lease whose content is still on its way.
        """
        wrong = self._wrong_tags(lease, self._cache.pages_for(tokens))
        unready = set(pending) & set(wrong)
        # What was missing when the rest arrived has not been overwritten: it never came.
        epochs = [read_tag(tag)[0] for place, tag in wrong.items() if place not in lease.missing]
        if wrong and not epochs:
            epochs = [0]
        kind = classify(epochs, is_pending=bool(unready))
        writers = [] if kind is Corruption.UNREADY else name_writers(wrong, self._cache.epochs)
        return Finding(kind, writers, [lease.pages[index] for index in wrong])

    def forget(self, pages: Iterable[int]) -> None:
        """Pages with wrong content must not be found by others."""
        for page in pages:
            self._cache.prefix.remove(page)

    def taint(self, lease: Lease, computed: int) -> None:
        """What the sequence has written from here on is wrong for whoever finds it."""
        self._cache.epochs.tainted.update(lease.pages[computed // self._cache.page_size :])

    def count(self, kind: Corruption, tokens: int) -> None:
        self.tokens[kind] += tokens

    def remember(self, record: SanitizerRecord) -> None:
        if record.request_id not in self._records:
            self.generations += 1
        self._records[record.request_id] = record
        if len(self._records) > MAX_RECORDS:
            self._records.popitem(last=False)

    def check_arrival(self, lease: Lease, tokens: int) -> None:
        """Remembers which pages of the first ``tokens`` tokens do not hold what was sent."""
        lease.missing = frozenset(self._wrong_tags(lease, self._cache.pages_for(tokens)))

    def _wrong_tags(self, lease: Lease, end: int) -> dict[int, int]:
        """Place among the first ``end`` -> a tag there, in any layer, of another allocation."""
        pages = torch.tensor(lease.pages[:end], dtype=torch.long, device=self._store.device)
        expected = torch.tensor(lease.epochs[:end], dtype=torch.long, device=self._store.device)
        wrong: dict[int, int] = {}
        for tags in [tags for part in self._store.parts for tags in (part.heads, part.tails)]:
            found = tags[:, pages]
            differs = (found >> MOVER_BITS) != expected
            for layer, index in differs.nonzero().tolist():
                wrong.setdefault(index, int(found[layer, index]))
        return wrong


def classify(epochs: list[int], *, is_pending: bool) -> Corruption:
    """The kind of corruption from the allocations that were found in place of the right ones.

    None found any more: what was missing has arrived since. Allocation 0: nobody ever wrote.
    """
    if is_pending or not epochs:
        return Corruption.UNREADY
    return Corruption.FOREIGN if any(epochs) else Corruption.STALE


def name_writers(wrong: dict[int, int], epochs: Epochs) -> list[Writer]:
    """The requests whose writes stand in the pages."""
    writers = set()
    for tag in wrong.values():
        epoch, mover = read_tag(tag)
        if epoch:
            by = "unknown" if mover is None else mover.name.lower()
            writers.add((epochs.owner(epoch) or "", by))
    return [Writer(request_id or None, by) for request_id, by in sorted(writers)]
