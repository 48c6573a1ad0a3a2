"""Decides what the next step computes.

Who decodes, who is prefilled how far, who is admitted, who must yield.

Admission cannot deadlock: a request is refused at once if it could not run alone, the queue is
served in order, and when pages run out the youngest running sequence gives its pages back and
starts again from its tokens.
"""

from dataclasses import dataclass, field

from inference_backend.engine.sequence import Sequence, WaitingQueue
from inference_backend.kv.lease import PageCache


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
        while had_room and self.waiting and self._slots and budget >= self.cache.page_size:
            admitted = self._admit(self.waiting[0])
            if admitted is None:
                break
            self.waiting.popleft()
            budget -= self._plan_chunk(plan, admitted, budget)
        return plan

    def remove(self, sequence: Sequence) -> None:
        """Takes a finished or aborted sequence out; its pages are let go at once."""
        if sequence.slot is None:
            self.waiting.remove(sequence)
            return
        self._let_go(sequence)
        self.running.remove(sequence)

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

    def _admit(self, sequence: Sequence) -> Sequence | None:
        reserve = len(sequence.tokens) + self.lookahead + 1
        request = sequence.request
        lease = self.cache.open(sequence.tokens, request.cache_salt, reserve, request.request_id)
        if lease is None:
            return None
        if self.cache.pool.num_available < len(self.running):
            # Not a page left for each of the others to grow into: it would soon have to yield.
            self.cache.close(lease)
            return None
        sequence.lease = lease
        sequence.slot = self._slots.pop()
        sequence.num_computed = lease.reused * self.cache.page_size
        sequence.prefill_target = len(sequence.tokens)
        if sequence.completion_tokens == 0:
            sequence.cached_tokens = sequence.num_computed
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
