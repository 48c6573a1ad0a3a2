"""Acceptance that is new in each chunk.

From live counters, or derived from the tokens of the chunk.
"""

from detectors.observation import Observation
from retry_proxy.engines.adapter import Cumulative, EngineProfile, FinalCounters


class AcceptanceTrack:
    """Turns what the chunks of one attempt tell into steps, drafts and accepted drafts that are
    new.

    The second chunk with tokens settles it: if it carries counters (and is not also the last), they
        are live.
    """

    def __init__(self, profile: EngineProfile) -> None:
        self._profile = profile
        self._is_live: bool | None = True if profile.is_integrated else None
        self._tokens = 0
        self._steps = Cumulative()
        self._drafted = Cumulative()
        self._accepted = Cumulative()
        self.final: FinalCounters | None = None

    def observe(
        self,
        *,
        text: str,
        new_tokens: int | None,
        token_ids: tuple[int, ...] | None,
        counters: FinalCounters | None,
        is_finish: bool,
    ) -> Observation:
        """Builds the observation of one chunk."""
        seen = Observation(text=text, new_tokens=new_tokens, token_ids=token_ids)
        is_first = self._tokens == 0
        self._tokens += new_tokens or 0
        if self._is_live is None and counters is not None and not is_finish:
            self._is_live = True
        if self._is_live:
            self._take_live(seen, counters)
        elif new_tokens:
            self._derive(seen, new_tokens, is_first)
        if counters is not None and (is_finish or new_tokens is None):
            self.final = counters
        return seen

    def _take_live(self, seen: Observation, counters: FinalCounters | None) -> None:
        if counters is None:
            seen.steps = 0 if seen.new_tokens is not None and self._profile.is_speculating else None
            return
        seen.steps = None if counters.steps is None else self._steps.new(counters.steps)
        seen.drafted = None if counters.drafted is None else self._drafted.new(counters.drafted)
        seen.accepted = None if counters.accepted is None else self._accepted.new(counters.accepted)

    def _derive(self, seen: Observation, new_tokens: int, is_first: bool) -> None:
        if not self._profile.is_speculating:
            return
        seen.is_upper_bound = True
        verified = new_tokens - 1 if is_first else new_tokens  # the first token is prefill's
        drafts = self._profile.draft_tokens
        # A chunk larger than one step can give proves that steps were merged.
        steps = _at_least(verified, drafts + 1 if drafts is not None else None)
        seen.steps = steps
        seen.accepted = verified - steps
        seen.drafted = steps * drafts if drafts is not None else None


def _at_least(tokens: int, most_per_step: int | None) -> int:
    """The fewest steps that give so many tokens."""
    if tokens <= 0:
        return 0
    return 1 if most_per_step is None else -(-tokens // most_per_step)
