"""One generation in the engine: its tokens, how far they are computed, its pages, its numbers."""

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from inference_backend.engine.request import FinishReason, GenerationRequest, SpecCounters
from inference_backend.kv.labels import KvLabels
from inference_backend.kv.lease import Lease


@dataclass(slots=True, eq=False)
class Sequence:
    """Mutable state of a generation.

    Attributes:
        tokens: prompt and answer. The last one has been sampled and is not in the cache yet, except
            while the prompt (or, after a preemption, everything so far) is being computed.
        num_computed: tokens whose keys and values are in the cache.
        prefill_target: compute up to here, then sample.
        slot: row of the engine's per-sequence tensors; ``None`` while waiting.
        new_tokens: tokens of the current step.
        has_arrived: a prompt that was computed elsewhere is here.
        labels: what the sanitizer found; ``None`` while it found nothing.
        tainted: the lease whose pages were computed from wrong cache; another one is sound again.
    """

    request: GenerationRequest
    random: np.random.Generator
    tokens: list[int]
    num_computed: int = 0
    prefill_target: int = 0
    cached_tokens: int = 0
    lease: Lease | None = None
    slot: int | None = None
    verify_steps: int = 0
    proposed_drafts: int = 0
    correct_drafts: int = 0
    finish_reason: FinishReason | None = None
    matched_token_id: int | None = None
    new_tokens: list[int] = field(default_factory=list)
    has_arrived: bool = False
    labels: KvLabels | None = None
    tainted: Lease | None = None

    @property
    def request_id(self) -> str:
        return self.request.request_id

    @property
    def prompt_tokens(self) -> int:
        return len(self.request.prompt_ids)

    @property
    def completion_tokens(self) -> int:
        return len(self.tokens) - self.prompt_tokens

    @property
    def is_prefilling(self) -> bool:
        return self.num_computed < self.prefill_target

    @property
    def needs_transfer(self) -> bool:
        """Its prompt is to be computed by a prefill, and is not here yet.

        After a preemption it is computed here: the prefill has forgotten it.
        """
        return self.request.prefill is not None and not self.has_arrived

    @property
    def is_over(self) -> bool:
        return self.finish_reason is not None

    def counters(self) -> SpecCounters:
        return SpecCounters(self.verify_steps, self.proposed_drafts, self.correct_drafts)


def make_sequence(request: GenerationRequest) -> Sequence:
    """A fresh generation. Without a seed its random numbers are drawn from the system."""
    seed = request.sampling.seed
    # numpy takes no negative seeds, clients send some.
    random = np.random.default_rng(None if seed is None else seed % 2**64)
    return Sequence(request, random, list(request.prompt_ids))


def accept_tokens(sequence: Sequence, tokens: list[int], eos_token_ids: frozenset[int]) -> None:
    """Appends sampled tokens up to the first one that ends the generation, and sets the reason if
    there is one.
    """
    sampling = sequence.request.sampling
    stops = (
        sampling.stop_token_ids if sampling.ignore_eos else sampling.stop_token_ids | eos_token_ids
    )
    for token in tokens:
        sequence.tokens.append(token)
        sequence.new_tokens.append(token)
        if token in stops:
            sequence.finish_reason, sequence.matched_token_id = FinishReason.STOP, token
            return
        if sequence.completion_tokens >= sampling.max_new_tokens:
            sequence.finish_reason = FinishReason.LENGTH
            return


WaitingQueue = deque[Sequence]
