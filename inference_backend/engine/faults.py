"""Drills: damage done on purpose to the stored KV pages of generations, and the record of it.

The model then computes with what is there. Nothing here makes text.
"""

import enum
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from inference_backend.engine.request import FinishReason
from inference_backend.engine.sequence import Sequence
from inference_backend.errors import InvalidRequest
from inference_backend.kv.epochs import Mover
from inference_backend.kv.lease import PageCache
from inference_backend.kv.store import KvStore

MAX_RECORDS = 10_000


class FaultKind(enum.StrEnum):
    """What is written over the pages."""

    NOISE = "noise"  # as uninitialised memory
    ZERO_LAYERS = "zero_layers"  # as layers whose load does not end, read all the same
    FOREIGN_PAGES = "foreign_pages"  # as pages reused while another request still writes


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultPlan:
    """Which generations are damaged, and how.

    Attributes:
        rate: share of the generations that are damaged, 0 to 1.
        page_share: share of a generation's full pages that noise or foreign content replaces.
        layer_share: share of the layers, the last ones, that are zeroed and stay so.
        after_tokens: the damage is done once this many tokens are out.

    Raises:
        InvalidRequest: a value is out of range.
    """

    kind: FaultKind
    rate: float
    page_share: float = 0.5
    layer_share: float = 0.5
    after_tokens: int = 16
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("rate", "page_share", "layer_share"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise InvalidRequest(f"{name} must be between 0 and 1, got {value}")
        if self.after_tokens < 0:
            raise InvalidRequest(f"after_tokens must not be negative, got {self.after_tokens}")


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """The truth about one damaged generation.

    Attributes:
        damaged_from_token: tokens that were out when its cache was damaged; every later one is
            suspect.
        completion_tokens: tokens out so far; of an ended generation, in all.
    """

    request_id: str
    kind: FaultKind
    damaged_from_token: int
    completion_tokens: int
    finish_reason: FinishReason | None


class FaultInjector:
    """Damages pages between two steps of the engine and remembers whom it touched.

    Pages shared with others are replaced by copies first, and damaged pages leave the prefix index:
    the damage stays in the generation it was meant for, so that the record is the whole truth.
    """

    def __init__(self, store: KvStore, cache: PageCache) -> None:
        self.plan: FaultPlan | None = None
        self._store = store
        self._cache = cache
        self._random = np.random.default_rng()
        self._chosen: dict[str, bool] = {}
        self._unready: dict[str, list[int]] = {}
        self._records: OrderedDict[str, FaultRecord] = OrderedDict()

    def set_plan(self, plan: FaultPlan | None) -> None:
        """Takes effect for generations for which no plan has decided yet."""
        self.plan = plan
        self._random = np.random.default_rng(plan.seed if plan else None)

    def records(self) -> list[FaultRecord]:
        return list(self._records.values())

    def before_step(self, running: list[Sequence]) -> None:
        """Damages those whose turn it is, and keeps unready layers unready."""
        for sequence in running:
            if sequence.request_id in self._unready:
                self._zero(sequence, self._unready[sequence.request_id])
        if self.plan is None:
            return
        for sequence in running:
            if self._is_due(sequence, self.plan) and self._damage(sequence, running, self.plan):
                self._remember(sequence, self.plan)

    def after_step(self, sequence: Sequence) -> None:
        """Keeps the record of a damaged generation up to date."""
        record = self._records.get(sequence.request_id)
        if record is not None:
            self._records[sequence.request_id] = replace(
                record,
                completion_tokens=sequence.completion_tokens,
                finish_reason=sequence.finish_reason,
            )
        if sequence.finish_reason is not None:
            self._chosen.pop(sequence.request_id, None)
            self._unready.pop(sequence.request_id, None)

    def _is_due(self, sequence: Sequence, plan: FaultPlan) -> bool:
        if sequence.is_prefilling or sequence.request_id in self._records:
            return False
        if sequence.request_id not in self._chosen:
            self._chosen[sequence.request_id] = bool(self._random.random() < plan.rate)
        return self._chosen[sequence.request_id] and sequence.completion_tokens >= plan.after_tokens

    def _damage(self, sequence: Sequence, running: list[Sequence], plan: FaultPlan) -> bool:
        """Whether anything was damaged: foreign content needs a neighbour to come from."""
        places = range(self._cache.pages_for(sequence.num_computed))
        foreign = self._foreign(sequence, running) if plan.kind is FaultKind.FOREIGN_PAGES else []
        if plan.kind is FaultKind.FOREIGN_PAGES:
            places = range(min(len(places), len(foreign)))
        share = 1.0 if plan.kind is FaultKind.ZERO_LAYERS else plan.page_share
        chosen = self._sample(places, share)
        pages = self._take_private(sequence, chosen)
        if not pages:
            return False
        if plan.kind is FaultKind.NOISE:
            self._store.fill_noise(list(pages.values()), int(self._random.integers(2**31)))
        elif plan.kind is FaultKind.ZERO_LAYERS:
            layers = self._last_layers(plan.layer_share)
            self._unready[sequence.request_id] = layers
            self._zero(sequence, layers)
        else:
            self._store.copy_pages([foreign[index] for index in pages], list(pages.values()))
        return True

    def _last_layers(self, share: float) -> list[int]:
        """Layers are loaded in order: the last ones are missing, the draft head's among them."""
        count = max(1, round(share * self._store.num_layers))
        return list(range(self._store.num_layers - count, self._store.num_layers + 1))

    def _zero(self, sequence: Sequence, layers: list[int]) -> None:
        """All pages, again before every step: a layer whose load never ends stays empty.

        After a preemption the sequence has a new lease that may share pages again.
        """
        if sequence.lease is not None:
            pages = self._take_private(sequence, range(len(sequence.lease.pages)))
            self._store.zero_layers(list(pages.values()), layers)

    def _take_private(self, sequence: Sequence, indices: Iterable[int]) -> dict[int, int]:
        """Pages at these places in the sequence, shared ones replaced by copies: index -> page."""
        assert sequence.lease is not None
        pages: dict[int, int] = {}
        for index in indices:
            moved = self._cache.make_private(sequence.lease, index)
            if moved is not None:
                before, pages[index] = moved
                if before != pages[index]:
                    self._store.copy_pages([before], [pages[index]])
                    epoch = sequence.lease.epochs[index]
                    self._store.tag_pages([pages[index]], [epoch], Mover.COMPUTE)
        return pages

    def _foreign(self, sequence: Sequence, running: list[Sequence]) -> list[int]:
        """Pages of the running neighbour that has computed most."""
        others = [s for s in running if s is not sequence and s.lease and s.num_computed > 0]
        if not others:
            return []
        donor = max(others, key=lambda other: other.num_computed)
        return (
            donor.lease.pages[: donor.num_computed // self._store.page_size] if donor.lease else []
        )

    def _sample(self, items: range, share: float) -> list[int]:
        """A share of the items, at least one, in order."""
        count = min(len(items), max(1, round(share * len(items))))
        return (
            sorted(self._random.choice(items, size=count, replace=False).tolist()) if items else []
        )

    def _remember(self, sequence: Sequence, plan: FaultPlan) -> None:
        out = sequence.completion_tokens
        self._records[sequence.request_id] = FaultRecord(
            sequence.request_id, plan.kind, out, out, None
        )
        if len(self._records) > MAX_RECORDS:
            self._records.popitem(last=False)
