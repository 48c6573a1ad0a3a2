"""The engine: one step of all running generations at a time.

Single-threaded; ``service`` gives it a thread.
"""

import copy
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from inference_backend.engine.faults import FaultInjector, FaultPlan, FaultRecord
from inference_backend.engine.inspection import Inspection
from inference_backend.engine.mailbox import Mailbox
from inference_backend.engine.partner import Partner
from inference_backend.engine.request import FinishReason, GenerationRequest, StepOutput
from inference_backend.engine.runner import Emitted, Runner
from inference_backend.engine.scheduler import Chunk, Scheduler, StepPlan, leases_of
from inference_backend.engine.sequence import Sequence, accept_tokens, make_sequence
from inference_backend.engine.snapshot import EngineSnapshot, RankNumbers
from inference_backend.engine.totals import Totals
from inference_backend.errors import InvalidRequest, RanksLost
from inference_backend.hicache.host_cache import HostCache
from inference_backend.kv.labels import Corruption
from inference_backend.kv.sanitizer import SanitizerRecord

CORRUPTED = "the KV cache of this generation was corrupted"


class Engine:
    """Scheduler, runner and faults around a set of generations."""

    def __init__(
        self,
        scheduler: Scheduler,
        runner: Runner,
        max_context: int,
        eos_token_ids: frozenset[int],
        inspection: Inspection | None = None,
    ) -> None:
        self.scheduler, self.runner, self.inspection = scheduler, runner, inspection
        self.injector = FaultInjector(runner.store, scheduler.cache)
        self.totals = Totals()
        self.max_context = min(max_context, scheduler.max_tokens)
        self._eos_token_ids = eos_token_ids
        self.mailbox = Mailbox()
        self.partner: Partner | None = None
        self.host: HostCache | None = None
        self.computes_prompts_only = False
        self.on_ranks_lost: Callable[[], None] = lambda: None
        self.ranks: Callable[[], RankNumbers | None] = lambda: None
        self._sequences: dict[str, Sequence] = {}
        self._ended: list[StepOutput] = []
        self._is_blocked = False

    @property
    def has_work(self) -> bool:
        return bool(self._sequences)

    @property
    def can_step(self) -> bool:
        """A step would do something. What only waits for pages from elsewhere can not."""
        return bool(self._ended) or (self.has_work and not self._is_blocked)

    @property
    def num_waiting(self) -> int:
        return len(self.scheduler.waiting)

    def check(self, request: GenerationRequest) -> None:
        """Raises ``InvalidRequest`` if this engine could never finish the request."""
        prompt, new = len(request.prompt_ids), request.sampling.max_new_tokens
        if prompt == 0:
            raise InvalidRequest("the prompt is empty")
        if new > 1 and self.computes_prompts_only:
            raise InvalidRequest("this engine computes prompts only: max_new_tokens must be 1")
        if prompt + new > self.max_context:
            raise InvalidRequest(
                f"the prompt has {prompt} tokens and max_new_tokens is {new}: "
                f"together more than the {self.max_context} tokens that fit"
            )
        if not all(0 <= token < self.runner.model.shape.vocab_size for token in request.prompt_ids):
            raise InvalidRequest("the prompt contains a token id outside the vocabulary")
        if request.request_id in self._sequences:
            raise InvalidRequest(f"a request with id {request.request_id} is running already")

    def add(self, request: GenerationRequest) -> None:
        """Queues a checked request.

        Raises:
            InvalidRequest: see ``check``.
        """
        self.check(request)
        self._is_blocked = False
        sequence = make_sequence(request)
        self._sequences[request.request_id] = sequence
        self.scheduler.add(sequence)

    def abort(self, request_id: str) -> StepOutput | None:
        """Ends a generation now; its pages are free at once.

        ``None`` if there is none of that id.
        """
        sequence = self._sequences.get(request_id)
        if sequence is None:
            return None
        return self._abort(sequence, "Aborted")

    def _abort(
        self, sequence: Sequence, message: str, *, is_transfer_failure: bool = False
    ) -> StepOutput:
        sequence.finish_reason = FinishReason.ABORT
        sequence.new_tokens.clear()
        self.totals.aborted += 1
        return self._report(sequence, message, is_transfer_failure=is_transfer_failure)

    def abort_and_report(self, request_id: str) -> None:
        """As ``abort``; the output comes with the next step."""
        output = self.abort(request_id)
        if output is not None:
            self._ended.append(output)

    def take_transfer(self, sequence: Sequence, is_tainted: bool = False) -> None:
        """The prompt of a waiting sequence has arrived; tainted: computed from wrong cache."""
        sequence.has_arrived = True
        if self.inspection is not None:
            self.inspection.arrived(sequence, is_tainted=is_tainted)
        self.scheduler.arrived.append(sequence)
        self._is_blocked = False

    def lose_transfer(self, sequence: Sequence, message: str) -> None:
        """The prompt of a waiting sequence will not arrive: it ends with the next step."""
        if not sequence.is_over:
            self._ended.append(self._abort(sequence, message, is_transfer_failure=True))

    def use_host(self, host: HostCache) -> None:
        """Puts a tier of host memory below the device's pages."""

        def reading(chunks: list[Chunk]) -> AbstractContextManager[None]:
            return host.reading(leases_of(chunks))

        def pending(sequence: Sequence) -> Iterable[int]:
            return () if sequence.lease is None else host.pending(sequence.lease)

        self.host, self.runner.reading = host, reading
        host.loader.on_over = lambda: self.mailbox.post(self._reap)
        if self.inspection is not None:
            self.inspection.pending = pending

    def _reap(self) -> None:
        """A load is over: pages that it kept may be used again."""
        if self.scheduler.cache.reap():
            self._is_blocked = False

    def _end_unloaded(self) -> None:
        """Ends those whose pages could not be loaded; nothing of this step is used."""
        if self.host is None:
            return
        for sequence in list(self.scheduler.running):
            reason = self.host.failure(sequence.lease) if sequence.lease is not None else None
            if reason is not None:
                message = f"its cache could not be loaded from host memory ({reason})"
                self._ended.append(self._abort(sequence, message, is_transfer_failure=True))

    def running_ids(self) -> list[str]:
        return list(self._sequences)

    def step(self) -> list[StepOutput]:
        """Advances every planned generation by one step."""
        self.mailbox.run()
        self.injector.before_step(self.scheduler.running)
        self.scheduler.cache.reap()
        plan = self.scheduler.plan()
        self._is_blocked = plan.is_empty
        if plan.is_empty:
            return self._take_ended()
        if self.host is not None:
            self.host.begin(leases_of(plan.chunks))
        try:
            result = self.runner.run(plan)
        except RanksLost as error:
            return self._take_ended() + self._lose_ranks(str(error))
        doomed = self.inspection.inspect(plan, result) if self.inspection else []
        ended = [self._abort(sequence, CORRUPTED) for sequence in doomed]
        self._end_unloaded()
        self._advance(plan)
        taken = [self._take(each) for each in result.emitted if not each.sequence.is_over]
        return self._take_ended() + ended + taken

    def _lose_ranks(self, message: str) -> list[StepOutput]:
        """Nobody has all of the cache any more: what runs ends, what waits is computed anew."""
        lost = list(self.scheduler.running)
        ended = [self._abort(each, message, is_transfer_failure=True) for each in lost]
        self.scheduler.cache.prefix.clear()
        self.on_ranks_lost()
        return ended

    def _take_ended(self) -> list[StepOutput]:
        ended, self._ended = self._ended, []
        return ended

    def _advance(self, plan: StepPlan) -> None:
        for chunk in plan.chunks:
            if chunk.sequence.is_over:
                continue
            chunk.sequence.num_computed = chunk.end
            self.scheduler.publish(chunk.sequence)

    def _take(self, emitted: Emitted) -> StepOutput:
        """Appends what came out; the last token is not computed yet, all before it are."""
        sequence = emitted.sequence
        sequence.new_tokens.clear()
        accept_tokens(sequence, emitted.tokens, self._eos_token_ids)
        if emitted.accepted is not None:
            kept = min(emitted.accepted, len(sequence.new_tokens))
            sequence.verify_steps += 1
            sequence.proposed_drafts += self.runner.num_drafts
            sequence.correct_drafts += kept
            self.totals.count_step(self.runner.num_drafts, kept)
        self.totals.generated += len(sequence.new_tokens)
        sequence.num_computed = len(sequence.tokens) - 1
        sequence.prefill_target = min(sequence.prefill_target, sequence.num_computed)
        self.scheduler.publish(sequence)
        return self._report(sequence)

    def _report(
        self,
        sequence: Sequence,
        abort_message: str | None = None,
        *,
        is_transfer_failure: bool = False,
    ) -> StepOutput:
        self.injector.after_step(sequence)
        if self.inspection is not None:
            self.inspection.note(sequence)
        if sequence.finish_reason is not None:
            if self.partner is not None:
                self.partner.request_over(sequence, abort_message)
            self.scheduler.remove(sequence)
            self._is_blocked = False
            del self._sequences[sequence.request_id]
            self.totals.count_finished(sequence)
        return StepOutput(
            request_id=sequence.request_id,
            token_ids=tuple(sequence.new_tokens),
            completion_tokens=sequence.completion_tokens,
            prompt_tokens=sequence.prompt_tokens,
            cached_tokens=sequence.cached_tokens,
            counters=sequence.counters(),
            finish_reason=sequence.finish_reason,
            matched_token_id=sequence.matched_token_id,
            abort_message=abort_message,
            is_transfer_failure=is_transfer_failure,
            labels=copy.deepcopy(sequence.labels),
        )

    def set_faults(self, plan: FaultPlan | None) -> None:
        self.injector.set_plan(plan)

    def faults(self) -> FaultPlan | None:
        return self.injector.plan

    def fault_records(self) -> list[FaultRecord]:
        return self.injector.records()

    def sanitizer_records(self) -> list[SanitizerRecord]:
        """Generations that read wrong cache; empty if the sanitizer is off."""
        return self.inspection.sanitizer.records() if self.inspection else []

    def _corrupted_tokens(self) -> dict[Corruption, int]:
        return dict(self.inspection.sanitizer.tokens) if self.inspection else {}

    def snapshot(self, *, is_alive: bool) -> EngineSnapshot:
        pool, totals = self.scheduler.cache.pool, self.totals
        return EngineSnapshot(
            running=len(self.scheduler.running),
            waiting=self.num_waiting,
            pages_total=pool.num_pages,
            pages_free=pool.num_free,
            pages_cached=pool.num_cached,
            pages_retired=pool.num_retired,
            finished_total=totals.finished,
            aborted_total=totals.aborted,
            preemptions_total=self.scheduler.preemptions,
            prompt_tokens_total=totals.prompt,
            cached_tokens_total=totals.cached,
            generation_tokens_total=totals.generated,
            verify_steps_total=totals.verify_steps,
            proposed_drafts_total=totals.proposed,
            correct_drafts_total=totals.correct,
            num_drafts=self.runner.num_drafts,
            max_context=self.max_context,
            is_alive=is_alive,
            host=None if self.host is None else self.host.numbers(),
            ranks=self.ranks(),
            corrupted_tokens_total=self._corrupted_tokens(),
            corrupted_generations_total=(
                self.inspection.sanitizer.generations if self.inspection else 0
            ),
        )
