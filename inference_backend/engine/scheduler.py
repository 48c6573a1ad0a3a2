"""Decides what the next step computes.

Who decodes, who is prefilled how far, who is admitted, who must yield.

Admission cannot deadlock: a request is refused at once if it could not run alone, the queue is
served in order, and when pages run out the youngest running sequence gives its pages back and
starts again from its tokens.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from inference_backend.engine.sequence import Sequence, WaitingQueue
from inference_backend.kv.lease import Lease, PageCache

Lend = Callable[[Sequence, Lease], None]
"""Has the prompt of a sequence computed elsewhere, into the pages of the lease."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Tokens ``[start, end)`` of a sequence that is being prefilled.

    It samples if this is the last chunk.
    """

    sequence: Sequence
    start: int
    end: int

    @property
    def is_last(self) -> bool:
        return self.end == self.sequence.prefill_target


def leases_of(chunks: list[Chunk]) -> list[Lease]:
    """What the chunks' sequences hold."""
    return [chunk.sequence.lease for chunk in chunks if chunk.sequence.lease is not None]


@dataclass(slots=True)
class StepPlan:
    """One step: sequences that verify their drafts, and chunks of prompts."""

    decodes: list[Sequence] = field(default_factory=list)
    chunks: list[Chunk] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self.decodes and not self.chunks


class Scheduler:
    """Owns the queue, the running set and the pages.

    Args:
        lookahead: tokens a step may write beyond the sequence's last one (its drafts).

    Attributes:
        arrived: have their pages, filled elsewhere, and wait for a place in the batch.
        lend: set in a decode engine.
    """

    def __init__(
        self, cache: PageCache, max_running: int, chunk_tokens: int, lookahead: int
    ) -> None:
        self.cache = cache
        self.chunk_tokens = chunk_tokens
        self.lookahead = lookahead
        self.waiting: WaitingQueue = WaitingQueue()
        self.running: list[Sequence] = []
        self.preemptions = 0
        self.arrived: deque[Sequence] = deque()
        self.lend: Lend | None = None
        self._slots = list(range(max_running - 1, -1, -1))

    @property
    def max_tokens(self) -> int:
        """Longest sequence that fits if it has all pages for itself."""
        return self.cache.pool.num_pages * self.cache.page_size - self.lookahead - 1

    def add(self, sequence: Sequence) -> None:
        self.waiting.append(sequence)

    def plan(self) -> StepPlan:
        """The next step. Leases in it have room for everything the step writes."""
        had_room = self._make_room()
        budget = self.chunk_tokens
        plan = StepPlan(decodes=[s for s in self.running if not s.is_prefilling])
        for sequence in self.running:
            if sequence.is_prefilling:
                budget -= self._plan_chunk(plan, sequence, budget)
        self._lend_pages(had_room=had_room)
        while self.arrived and self._slots and budget >= self.cache.page_size:
            budget -= self._plan_chunk(plan, self._seat(self.arrived.popleft()), budget)
        while had_room and self._is_admittable() and budget >= self.cache.page_size:
            admitted = self._admit(self.waiting[0])
            if admitted is None:
                break
            self.waiting.popleft()
            budget -= self._plan_chunk(plan, admitted, budget)
        return plan

    def remove(self, sequence: Sequence) -> None:
        """Takes a finished or aborted sequence out; its pages are let go at once."""
        if sequence in self.running:
            self._let_go(sequence)
            self.running.remove(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
        elif sequence in self.arrived:
            self.arrived.remove(sequence)
            assert sequence.lease is not None
            self.cache.close(sequence.lease)
            sequence.lease = None

    def publish(self, sequence: Sequence) -> None:
        """Lets others reuse what the step has computed."""
        if sequence.lease is not None:
            self.cache.publish(sequence.lease, sequence.tokens, sequence.num_computed)

    def _make_room(self) -> bool:
        """Grows the leases of decoding sequences, oldest first; the youngest yield if need be.

        Whether nobody had to: who has just yielded must not be admitted again in the same step.
        """
        before = self.preemptions
        index = 0
        while index < len(self.running):
            sequence = self.running[index]
            assert sequence.lease is not None
            needed = max(len(sequence.tokens) + self.lookahead + 1, sequence.prefill_target)
            if self.cache.try_grow(sequence.lease, needed):
                index += 1
            else:
                self._preempt(self.running[-1])
        return self.preemptions == before

    def _preempt(self, sequence: Sequence) -> None:
        self._let_go(sequence)
        self.running.remove(sequence)
        self.waiting.appendleft(sequence)
        self.preemptions += 1

    def _is_admittable(self) -> bool:
        """The next in line can start here if there is room."""
        return bool(self._slots and self.waiting) and not self._is_lendable(self.waiting[0])

    def _is_lendable(self, sequence: Sequence) -> bool:
        return self.lend is not None and sequence.needs_transfer

    def _lend_pages(self, *, had_room: bool) -> None:
        """Reserves pages for those whose prompts are computed elsewhere, in the queue's order."""
        while had_room and self.waiting and self._is_lendable(self.waiting[0]):
            lease = self._open(self.waiting[0])
            if lease is None:
                return
            sequence = self.waiting.popleft()
            sequence.lease = lease
            sequence.cached_tokens = lease.reused * self.cache.page_size
            assert self.lend is not None
            self.lend(sequence, lease)

    def _open(self, sequence: Sequence) -> Lease | None:
        reserve = len(sequence.tokens) + self.lookahead + 1
        request = sequence.request
        lease = self.cache.open(sequence.tokens, request.cache_salt, reserve, request.request_id)
        if lease is not None and self.cache.pool.num_available < len(self.running):
            # Not a page left for each of the others to grow into: it would soon have to yield.
            self.cache.close(lease)
            return None
        return lease

    def _admit(self, sequence: Sequence) -> Sequence | None:
        lease = self._open(sequence)
        if lease is None:
            return None
        sequence.lease = lease
        sequence.num_computed = lease.reused * self.cache.page_size
        if sequence.completion_tokens == 0:
            sequence.cached_tokens = sequence.num_computed
        return self._seat(sequence)

    def _seat(self, sequence: Sequence) -> Sequence:
        """Into the running set, with its lease."""
        sequence.slot = self._slots.pop()
        sequence.prefill_target = len(sequence.tokens)
        self.running.append(sequence)
        return sequence

    def _plan_chunk(self, plan: StepPlan, sequence: Sequence, budget: int) -> int:
        """Adds the sequence's next chunk; returns its tokens.

        Chunks end at page borders, where the hidden state that the draft head needs is kept.
        """
        start, end = sequence.num_computed, sequence.prefill_target
        if end - start > budget:
            end = (start + budget) // self.cache.page_size * self.cache.page_size
        if end <= start:
            return 0
        plan.chunks.append(Chunk(sequence, start, end))
        return end - start

    def _let_go(self, sequence: Sequence) -> None:
        assert sequence.lease is not None
        assert sequence.slot is not None
        self.cache.close(sequence.lease)
        self._slots.append(sequence.slot)
        sequence.lease = sequence.slot = None
        sequence.num_computed = sequence.prefill_target = 0
