"""Whether the drafter of one replica works at all, from the ended streams of that replica.

A drafter that is dead for everyone makes every answer slow and none of them bad (sglang#32176: the
load-back of a cache reached the target only, accept length 4.5 -> 1.6, the text fine). That is one
finding about the replica, not one about each of its streams.
"""

import enum
from collections import deque
from dataclasses import dataclass
from math import log
from statistics import median


class DraftState(enum.StrEnum):
    """What is known of a replica's drafter."""

    UNKNOWN = "unknown"  # too little was seen, or the engine does not say
    HEALTHY = "healthy"  # a low accept length is the stream's own
    DEAD = "dead"  # a low accept length is the replica's


@dataclass(frozen=True, slots=True)
class DraftHealthOptions:
    """Options of the test.

    Attributes:
        low_accept_rate: a stream that keeps a smaller share of its drafts is low ...
        max_low_accept_length: ... unless it still gets this many tokens per step.
        unknown_low_accept_length: the line where the number of drafts is not known.
        low_share_if_dead, low_share_if_healthy: share of low streams that the test tells apart. The
            second is high on purpose: a replica whose cache is damaged in most of its streams has a
            drafter that works.
        dead_odds: this many times likelier dead than healthy is dead ...
        dead_ceiling: ... and later streams can make it this many times likelier: two or three
            lively ones in a row do not hide a dead drafter.
        healthy_odds: this many times likelier healthy than dead is healthy. No stream makes it
            likelier, so that a drafter that dies is found as soon after a thousand streams.
        full_weight_steps: a stream with fewer steps counts for less; with more, for no more.
        flagged_weight: of a low stream that was flagged. Damage explains it as well, but without
            any weight a drafter that dies would have every stream flagged and never be found.
        kept_streams: how many streams ``reason`` looks back on.
    """

    low_accept_rate: float = 0.2
    max_low_accept_length: float = 1.7
    unknown_low_accept_length: float = 1.4
    low_share_if_dead: float = 0.95
    low_share_if_healthy: float = 0.6
    dead_odds: float = 100.0
    dead_ceiling: float = 4000.0
    healthy_odds: float = 20.0
    full_weight_steps: int = 32
    flagged_weight: float = 0.4
    kept_streams: int = 20


class DraftHealth:
    """Sequential test over the ended streams of one replica; constant memory.

    The statistic is the log-likelihood ratio of "nearly all streams are low" to "at most some are",
    summed over streams and kept within bounds (a CUSUM to both sides), so a death or a recovery is
    found at any time. A state ends later than it begins: DEAD when the odds are even again, HEALTHY
    when they are the square root of what made it so.
    """

    def __init__(self, options: DraftHealthOptions | None = None) -> None:
        self._options = chosen = options or DraftHealthOptions()
        self._low_step = log(chosen.low_share_if_dead / chosen.low_share_if_healthy)
        self._lively_step = log((1 - chosen.low_share_if_dead) / (1 - chosen.low_share_if_healthy))
        self._recent: deque[tuple[float, bool]] = deque(maxlen=chosen.kept_streams)
        self.state = DraftState.UNKNOWN
        self.log_odds = 0.0  # of dead to healthy
        self.streams = 0  # that told their acceptance
        self._line = chosen.unknown_low_accept_length  # of the last stream

    def ended(
        self,
        steps: int | None,
        accepted: int | None,
        num_drafts: float | None,
        was_flagged: bool,
        is_upper_bound: bool = False,
    ) -> DraftState:
        """Takes one ended stream; returns the state after it.

        Args:
            steps: verification steps, ``None`` where the engine did not say.
            accepted: drafts kept in them, without the bonus tokens.
            num_drafts: drafts proposed per step, ``None`` if not known.
            was_flagged: some detector found the stream sick.
            is_upper_bound: the true acceptance may be lower: a low reading is believed, any other
                only takes back what is held against the drafter.
        """
        if steps is None or accepted is None or steps <= 0 or num_drafts == 0:
            return self.state
        accept_length = (steps + accepted) / steps
        self._line = low_line(num_drafts, self._options)
        is_low = accept_length < self._line
        self.streams += 1
        self._recent.append((accept_length, is_low))
        step = self._step(steps, is_low, was_flagged)
        if is_upper_bound and not is_low:
            step = max(step, min(0.0, -self.log_odds))
        self._move(step)
        return self.state

    @property
    def reason(self) -> str:
        """Why, in words a person can check."""
        if not self._recent:
            return "no stream on this replica has told the acceptance of its drafts yet"
        low = sum(is_low for _, is_low in self._recent)
        middle = median(length for length, _ in self._recent)
        return (
            f"{low} of the last {len(self._recent)} streams on this replica had an accept length "
            f"under {self._line:.2f} (median {middle:.2f})"
        )

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers behind the state; those of the last streams only once there are some."""
        numbers = {"streams": float(self.streams), "log_odds": self.log_odds}
        if self._recent:
            numbers["recent_streams"] = float(len(self._recent))
            numbers["recent_low"] = float(sum(is_low for _, is_low in self._recent))
            numbers["recent_median"] = median(length for length, _ in self._recent)
        return numbers

    def _step(self, steps: int, is_low: bool, was_flagged: bool) -> float:
        """What one stream adds to the log-odds."""
        options = self._options
        weight = min(1.0, steps / options.full_weight_steps)
        if is_low:
            return weight * self._low_step * (options.flagged_weight if was_flagged else 1.0)
        # A flagged stream never vouches for the replica: a loop is easy to draft.
        return 0.0 if was_flagged else weight * self._lively_step

    def _move(self, step: float) -> None:
        options = self._options
        highest, lowest = log(options.dead_ceiling), -log(options.healthy_odds)
        self.log_odds = min(highest, max(lowest, self.log_odds + step))
        if self.log_odds >= log(options.dead_odds):
            self.state = DraftState.DEAD
        elif self.log_odds <= lowest:
            self.state = DraftState.HEALTHY
        elif self._has_faded():
            self.state = DraftState.UNKNOWN

    def _has_faded(self) -> bool:
        """The evidence for the present state is gone, or half of it is."""
        if self.state is DraftState.DEAD:
            return self.log_odds <= 0
        return self.log_odds > -log(self._options.healthy_odds) / 2


def low_line(num_drafts: float | None, options: DraftHealthOptions) -> float:
    """The accept length, in tokens per step, under which a stream is low.

    Args:
        num_drafts: drafts proposed per step, ``None`` if not known.
    """
    if num_drafts is None:
        return options.unknown_low_accept_length
    return min(options.max_low_accept_length, 1 + options.low_accept_rate * num_drafts)
