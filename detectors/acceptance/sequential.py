"""Sequential test on accepted drafts per step, for a change at any step. Pure numbers.

An e-process: with ``e`` the likelihood ratio of a damaged step to the worst healthy law, and prior
weights ``w`` of the step at which the damage begins, which sum to one,

    E(t) = sum over j <= t of w(j) e(j) … e(t)  =  (E(t-1) + w(t)) e(t)

is, with the weights still to come, a supermartingale as long as every step, given the past, accepts
at least as much as that law. So it ever reaches ``1 / bound`` with probability at most ``bound``,
for any length and however often one looks (Ville's inequality; Shin, Ramdas, Rinaldo,
"E-detectors", NEJSDS 2023).
"""

import math

from detectors.acceptance.baseline import HORIZON_STEPS, AcceptanceBaseline
from detectors.observation import Observation

_LARGEST = 1e30
_MIN_STEPS_BEFORE = 6
"""Of the stream itself, to tell a drop from a drafter that was always dead. Few do: evidence that
is erased once by accepted drafts and then grows to an alarm is not what a dead drafter gives."""


class Evidence:
    """The e-process of one direction.

    Attributes:
        value: E of the last step.
        onset_token: tokens that were out when the evidence was last worth less than a fresh start.
        steps_before, accepted_before: of the stream up to there.
    """

    __slots__ = ("accepted_before", "onset_token", "steps_before", "tables", "value")

    def __init__(self, tables: list[tuple[float, ...]]) -> None:
        self.tables = tables
        self.value = 0.0
        self.onset_token = 0
        self.steps_before = 0
        self.accepted_before = 0

    @property
    def bits(self) -> float:
        """Binary logarithm of the evidence, in fresh starts; 0 where there is none."""
        starts = self.value * HORIZON_STEPS
        return math.log2(starts) if starts > 1.0 else 0.0

    def p_value(self) -> float:
        """Bound on the probability that a healthy request ever shows this much."""
        return min(1.0, 1.0 / self.value) if self.value > 0 else 1.0


class SequentialAcceptance:
    """Both directions of the test for one stream, and what acceptance was before the onset.

    Steps merged into one observation are taken as equal, which gives the least evidence for low
    acceptance of all ways to spread their sum, and the change as before the first of them. Upper
    bounds count for low acceptance only.
    """

    __slots__ = ("accepted", "baseline", "high", "is_exact", "low", "steps")

    def __init__(self, baseline: AcceptanceBaseline) -> None:
        self.baseline = baseline
        self.low = Evidence(baseline.low_tables)
        self.high = Evidence(baseline.high_tables)
        self.steps = 0
        self.accepted = 0
        self.is_exact = True  # no reading so far was an upper bound

    def update(self, observation: Observation, tokens: int) -> bool:
        """Takes the next observation; false if it tells nothing about acceptance."""
        steps = observation.steps
        if not steps:
            return False
        accepted = observation.accepted
        if accepted is None:
            if observation.new_tokens is None:
                return False
            accepted = max(0, observation.new_tokens - steps)
        widest = self.baseline.num_drafts
        drafted = widest
        if observation.drafted is not None:
            drafted = min(widest, observation.drafted // steps)
        if drafted == 0:
            return False
        before = HORIZON_STEPS + self.steps
        self.steps += steps
        self.accepted += accepted
        # The prior weights of these steps: 1/before - 1/after, times the horizon.
        weight = HORIZON_STEPS * steps / (before * (before + steps))
        low, high = self.low, self.high
        if steps == 1:
            place = accepted if accepted < drafted else drafted
            fall, rise = low.tables[drafted][place], high.tables[drafted][place]
        else:
            fall = _ratio_of_merged(low.tables[drafted], steps, accepted)
            rise = _ratio_of_merged(high.tables[drafted], steps, accepted)
        # Written out for both directions: a call costs more than the arithmetic.
        value = (low.value + weight) * fall
        low.value = value if value < _LARGEST else _LARGEST
        if value <= weight:
            low.onset_token = tokens
            low.steps_before = self.steps
            low.accepted_before = self.accepted
        if observation.is_upper_bound:
            self.is_exact = False
        else:
            value = (high.value + weight) * rise
            high.value = value if value < _LARGEST else _LARGEST
            if value <= weight:
                high.onset_token = tokens
        return True

    @property
    def was_healthy_before(self) -> bool:
        """The stream itself accepted more than the worst healthy law before the onset.

        So the drafter works here, and something changed.
        """
        low = self.low
        if low.steps_before < _MIN_STEPS_BEFORE:
            return False
        accept_length = 1.0 + low.accepted_before / low.steps_before
        return accept_length >= self.baseline.lowest_accept_length

    @property
    def accept_length_before(self) -> float | None:
        """Tokens a step up to the onset of low acceptance, ``None`` if it began at once."""
        low = self.low
        return 1.0 + low.accepted_before / low.steps_before if low.steps_before else None

    @property
    def accept_length_since(self) -> float | None:
        """Tokens a step since the onset of low acceptance."""
        steps = self.steps - self.low.steps_before
        return 1.0 + (self.accepted - self.low.accepted_before) / steps if steps else None


def _ratio_of_merged(ratios: tuple[float, ...], steps: int, accepted: int) -> float:
    """Likelihood ratio of ``steps`` steps that accepted so much together, evenly spread."""
    share, rest = divmod(accepted, steps)
    widest = len(ratios) - 1
    fewer, more = ratios[min(share, widest)], ratios[min(share + 1, widest)]
    return math.exp(math.log(fewer) * (steps - rest) + math.log(more) * rest)
