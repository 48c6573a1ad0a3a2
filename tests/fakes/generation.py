"""A scripted engine of the shape that the server needs (``server.ports.Generator``)."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from inference_backend.engine.faults import FaultPlan, FaultRecord
from inference_backend.engine.request import (
    FinishReason,
    GenerationRequest,
    SpecCounters,
    StepOutput,
)
from inference_backend.engine.snapshot import EngineSnapshot
from inference_backend.errors import BackendError
from inference_backend.kv.labels import KvLabels
from inference_backend.kv.sanitizer import SanitizerRecord

NUM_DRAFTS = 3
EMPTY_SNAPSHOT = EngineSnapshot(
    running=0,
    waiting=0,
    pages_total=100,
    pages_free=70,
    pages_cached=10,
    finished_total=0,
    aborted_total=0,
    preemptions_total=0,
    prompt_tokens_total=0,
    cached_tokens_total=0,
    generation_tokens_total=0,
    verify_steps_total=0,
    proposed_drafts_total=0,
    correct_drafts_total=0,
    num_drafts=NUM_DRAFTS,
    max_context=512,
    is_alive=True,
)


@dataclass
class ScriptedService:
    """Plays the same steps for every request; remembers what was asked and what was closed.

    Attributes:
        steps: token ids of each step; the first is the prefill's, later ones verification steps.
        ending: how the last step ends; ``None`` hangs after it, until closed or aborted.
        stop_token: the token that ended it, the last of the last step, for ``STOP``.
        error: raised instead of the first step.
        late_error: raised after the last step instead of ending.
        labels: what the sanitizer says, on every step.
    """

    steps: Sequence[Sequence[int]] = ()
    ending: FinishReason | None = FinishReason.LENGTH
    stop_token: int | None = None
    error: BackendError | None = None
    late_error: BackendError | None = None
    labels: KvLabels | None = None
    numbers: EngineSnapshot = EMPTY_SNAPSHOT
    records: list[FaultRecord] = field(default_factory=list)
    requests: list[GenerationRequest] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)
    open_generations: int = 0
    plan: FaultPlan | None = None
    corrupted: list[SanitizerRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.hangs = asyncio.Event()  # it is out of steps and waits
        self.ended = asyncio.Event()  # a generation is over, however it ended

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[StepOutput, None]:
        self.requests.append(request)
        if self.error is not None:
            raise self.error
        self.open_generations += 1
        is_over = False
        try:
            for output in self._outputs(request):
                is_over = output.finish_reason is not None
                yield output
            if self.late_error is not None:
                raise self.late_error
            if not is_over:
                self.hangs.set()
                await asyncio.Event().wait()
        finally:
            self.open_generations -= 1
            self.ended.set()
            if not is_over:
                self.closed.append(request.request_id)

    def _outputs(self, request: GenerationRequest) -> list[StepOutput]:
        outputs = []
        completion = correct = 0
        for number, token_ids in enumerate(self.steps):
            completion += len(token_ids)
            correct += len(token_ids) - 1 if number else 0
            is_last = number == len(self.steps) - 1 and self.late_error is None
            ending = self.ending if is_last else None
            outputs.append(
                StepOutput(
                    request_id=request.request_id,
                    token_ids=tuple(token_ids),
                    completion_tokens=completion,
                    prompt_tokens=len(request.prompt_ids),
                    cached_tokens=4,
                    counters=SpecCounters(number, number * NUM_DRAFTS, correct),
                    finish_reason=ending,
                    matched_token_id=self.stop_token if ending is FinishReason.STOP else None,
                    abort_message="Aborted" if ending is FinishReason.ABORT else None,
                    labels=self.labels,
                )
            )
        return outputs

    def abort(self, rid_prefix: str) -> int:
        self.aborted.append(rid_prefix)
        return sum(request.request_id.startswith(rid_prefix) for request in self.requests)

    def abort_all(self) -> int:
        self.aborted.append("*")
        return len(self.requests)

    def snapshot(self) -> EngineSnapshot:
        return self.numbers

    def set_faults(self, plan: FaultPlan | None) -> None:
        self.plan = plan

    def faults(self) -> FaultPlan | None:
        return self.plan

    def fault_records(self) -> list[FaultRecord]:
        return self.records

    def sanitizer_records(self) -> list[SanitizerRecord]:
        return self.corrupted
