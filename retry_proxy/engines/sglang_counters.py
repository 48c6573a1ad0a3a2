"""SGLang's acceptance counters through three generations of field names."""

from typing import Any

from retry_proxy.engines.adapter import FinalCounters
from retry_proxy.engines.openai_chunk import read_int

# 0.5.12 and later | 0.5.12 to 0.5.20 as aliases | 0.5.9 and 0.5.10
_ACCEPTED_NAMES = ("spec_num_correct_drafts", "spec_accepted_drafts", "spec_accept_token_num")
_DRAFTED_NAMES = ("spec_num_proposed_drafts", "spec_proposed_drafts", "spec_draft_token_num")


def read_counters(details: dict[str, Any], completion_tokens: int | None) -> FinalCounters | None:
    """Cumulative counters, ``None`` while there was no verification step.

    0.5.5 tells only the step count and two ratios: accepted drafts are then the tokens out without
    the prefill token and without one bonus token per step.
    """
    steps = read_int(details, "spec_verify_ct")
    if not steps:
        return None
    accepted = _first(details, _ACCEPTED_NAMES)
    drafted = _first(details, _DRAFTED_NAMES)
    if accepted is None and completion_tokens is not None:
        accepted = max(0, completion_tokens - 1 - steps)
    rate = details.get("spec_accept_rate")
    if drafted is None and accepted and isinstance(rate, int | float) and rate > 0:
        drafted = round(accepted / rate)
    return FinalCounters(steps=steps, drafted=drafted, accepted=accepted)


def _first(details: dict[str, Any], names: tuple[str, ...]) -> int | None:
    for name in names:
        value = read_int(details, name)
        if value is not None:
            return value
    return None
