"""What the engine is asked for and what it answers. Token ids only: text belongs to the server."""

import enum
import math
from dataclasses import dataclass, field

from inference_backend.errors import InvalidRequest
from inference_backend.kv.labels import KvLabels


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How tokens are chosen and when generation ends.

    Raises:
        InvalidRequest: a value is out of range; the message names it.
    """

    max_new_tokens: int = 128
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None
    seed: int | None = None
    stop_token_ids: frozenset[int] = field(default_factory=frozenset)
    ignore_eos: bool = False

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise InvalidRequest(f"max_new_tokens must be at least 1, got {self.max_new_tokens}")
        if not math.isfinite(self.temperature) or not 0.0 <= self.temperature <= 100.0:
            raise InvalidRequest(f"temperature must be between 0 and 100, got {self.temperature}")
        if not 0.0 < self.top_p <= 1.0:
            raise InvalidRequest(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if self.top_k is not None and self.top_k < 1:
            raise InvalidRequest(f"top_k must be at least 1, got {self.top_k}")


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """One generation.

    Attributes:
        cache_salt: separates prefixes that must not be shared.
        prefill: where a decode engine has the prompt computed, ``(host, port)``.
        room: the number under which prefill and decode know the request.
    """

    request_id: str
    prompt_ids: tuple[int, ...]
    sampling: SamplingParams
    cache_salt: str = ""
    prefill: tuple[str, int] | None = None
    room: int | None = None


class FinishReason(enum.StrEnum):
    """Why a generation ended."""

    STOP = "stop"
    LENGTH = "length"
    ABORT = "abort"


@dataclass(frozen=True, slots=True)
class SpecCounters:
    """Speculative decoding's own numbers, cumulative over one generation.

    Attributes:
        verify_steps: verification steps of the target model.
        proposed_drafts: draft tokens proposed in them.
        correct_drafts: draft tokens accepted, bonus tokens not counted.
    """

    verify_steps: int = 0
    proposed_drafts: int = 0
    correct_drafts: int = 0


@dataclass(frozen=True, slots=True)
class StepOutput:
    """What one engine step gave one generation.

    Attributes:
        token_ids: the new tokens, at least one unless the generation was aborted.
        completion_tokens: cumulative, these included.
        cached_tokens: prompt tokens found in the prefix cache.
        matched_token_id: the stop token that ended it (it is the last of ``token_ids``).
        is_transfer_failure: prefill and decode could not hand the cache over.
        labels: what the KV sanitizer found so far; ``None``: nothing, or it is off.
    """

    request_id: str
    token_ids: tuple[int, ...]
    completion_tokens: int
    prompt_tokens: int
    cached_tokens: int
    counters: SpecCounters
    finish_reason: FinishReason | None = None
    matched_token_id: int | None = None
    abort_message: str | None = None
    labels: KvLabels | None = None
    is_transfer_failure: bool = False
