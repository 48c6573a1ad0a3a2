"""Accepted drafts step by step around a finding, in a form that is small and can be read. Pure."""

import string
from bisect import bisect_left, bisect_right
from itertools import accumulate

import msgspec

from detectors.verdict import Verdict
from retry_proxy.events import StepsQuality

KEPT_STEPS = 512
_KEPT_AFTER_ALARM = 128
_DIGITS = string.digits + string.ascii_lowercase


class StepSeries(msgspec.Struct, frozen=True, kw_only=True):
    """Accepted drafts of the steps around an alarm.

    Attributes:
        accepted: a character a step, oldest first: ``0`` to ``9``, ``a`` for 10 … ``z`` for 35 and
            more. A step gives one token more than it accepts.
        first_token: index of the first kept step's first token among the attempt's generated tokens
            (0-based).
        onset_step: index in ``accepted`` of the step that gave the onset's token; ``None`` where
            that step is not kept.
        alarm_step: the same for the step after which the alarm came.
        quality: how the steps are known. Unless ``exact``, places are estimates.
    """

    accepted: str
    first_token: int
    onset_step: int | None = None
    alarm_step: int | None = None
    quality: StepsQuality | None = None

    def counts(self) -> list[int]:
        """The same as numbers; what is no such digit counts as 0."""
        return [max(0, _DIGITS.find(digit)) for digit in self.accepted]


def step_series(
    recent: bytes, quality: StepsQuality, tokens: int, verdict: Verdict
) -> StepSeries | None:
    """The steps around ``verdict``; ``None`` where the engine told none.

    Places are counted from the end, where it is known how many tokens were out: the first steps may
    be missing, and prefill gives a token without a step.

    Args:
        recent: accepted drafts, a byte a step, up to the attempt's end.
        tokens: of the whole attempt.
    """
    if not recent:
        return None
    lengths = [accepted + 1 for accepted in recent]
    before = max(0, tokens - sum(lengths))
    ends = [before + out for out in accumulate(lengths)]  # tokens out after each step
    onset = bisect_right(ends, verdict.onset_token)
    alarm = min(bisect_left(ends, verdict.alarm_token), len(ends) - 1)
    start = min(alarm + 1 + _KEPT_AFTER_ALARM, len(ends)) - KEPT_STEPS
    start = max(0, start)
    kept = recent[start : start + KEPT_STEPS]
    is_onset_kept = start <= onset < start + len(kept)
    if onset == 0 and verdict.onset_token < before:
        is_onset_kept = before <= 1  # the token that prefill gave, else a step that is gone
    return StepSeries(
        accepted="".join(_DIGITS[min(accepted, len(_DIGITS) - 1)] for accepted in kept),
        first_token=ends[start] - lengths[start],
        onset_step=onset - start if is_onset_kept else None,
        alarm_step=alarm - start,
        quality=quality,
    )
