"""The engine's numbers at one moment, for metrics and information routes."""

from dataclasses import dataclass, field

from inference_backend.hicache.numbers import HostNumbers
from inference_backend.kv.labels import Corruption


@dataclass(frozen=True, slots=True)
class RankNumbers:
    """Ranks that compute prompts together: who is left of those that began."""

    left: int
    started: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSnapshot:
    """Gauges, and totals since the start.

    Attributes:
        pages_cached: pages without a holder that are kept for reuse (not counted in
            ``pages_free``).
        pages_retired: never used again: a prefill that died may have been writing to them.
        max_context: longest sequence that this engine accepts, in tokens.
        is_alive: the loop runs.
        host: ``None`` without a host tier.
        ranks: ``None`` for an engine that computes alone.
        corrupted_tokens_total: tokens by the sanitizer's kinds; empty if it is off.
        corrupted_generations_total: generations that had any.
    """

    running: int
    waiting: int
    pages_total: int
    pages_free: int
    pages_cached: int
    pages_retired: int = 0
    finished_total: int
    aborted_total: int
    preemptions_total: int
    prompt_tokens_total: int
    cached_tokens_total: int
    generation_tokens_total: int
    verify_steps_total: int
    proposed_drafts_total: int
    correct_drafts_total: int
    num_drafts: int
    max_context: int
    is_alive: bool
    corrupted_tokens_total: dict[Corruption, int] = field(default_factory=dict)
    corrupted_generations_total: int = 0
    host: HostNumbers | None = None
    ranks: RankNumbers | None = None
