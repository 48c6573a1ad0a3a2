"""Acceptance of one stream against its baseline, and whether it may be believed alone."""

import math
from functools import cache

from detectors.acceptance.baseline import HORIZON_STEPS, AcceptanceBaseline
from detectors.acceptance.encoded import TAIL_CHARACTERS, is_encoded
from detectors.acceptance.library import NO_BASELINES, ByDrafts, choose
from detectors.acceptance.sequential import SequentialAcceptance
from detectors.draft_health import DraftState
from detectors.observation import Observation
from detectors.repetition import Repetition
from detectors.verdict import AnomalyKind, Verdict

DEFAULT_BOUND = 1e-4
_STEPS_TO_VOUCH = 16
_EVIDENCE_TO_ASK = 32.0 / HORIZON_STEPS  # five bits; an alarm takes about fifteen
_LONGEST_TAIL = 192  # to cut seldom
USUAL_DRAFTS = 3  # where the engine tells neither drafts nor a baseline


class CalibratedAcceptance:
    """The sequential test as a detector.

    Low acceptance has other causes than a damaged answer: a drafter that is dead for everyone, or
    text that none could guess. So it ends a stream by itself only if this stream or its replica has
    shown that the drafter works, and the text is no row of keys or numbers; otherwise another
    detector must agree (see ``fusion``). High acceptance never does: honest copying is accepted
    like a loop, so the text must be on its way to being one.

    ``vouches`` says that drafts are accepted as usual: what the model writes is what it means to
    write. For exact readings only, as an upper bound that is high says nothing; and kept, not
    computed when asked, as others ask after every chunk.

    Args:
        baselines: of this model and engine, by the number of drafts; where there is none, the
            published accept length is tested from the first step on.
        bound: probability that a healthy request is ever stopped by this test alone.
        state: what the replica's other streams say about its drafter.
        repetition: of the same stream; must have seen the observation first.
    """

    name = "acceptance"
    is_watching = False  # the fusion watches: it knows what else speaks for or against
    __slots__ = (
        "_baselines", "_is_believed_replica", "_least", "_repetition", "_tail", "test", "vouches",
    )  # fmt: skip

    def __init__(
        self,
        baselines: ByDrafts = NO_BASELINES,
        *,
        bound: float = DEFAULT_BOUND,
        state: DraftState = DraftState.UNKNOWN,
        repetition: Repetition | None = None,
    ) -> None:
        self._repetition = repetition
        self._tail = ""
        self._baselines = baselines
        self._least = 1.0 / bound
        self._is_believed_replica = state is DraftState.HEALTHY
        self.test: SequentialAcceptance | None = None
        self.vouches = False

    @property
    def is_believed(self) -> bool:
        """The drafter is known to work and could have guessed: it is about this answer."""
        is_known = self._is_believed_replica or (
            self.test is not None and self.test.was_healthy_before
        )
        return is_known and not is_encoded(self._tail[-TAIL_CHARACTERS:])

    @property
    def low_bits(self) -> float:
        """Evidence for low acceptance, binary logarithm; 0 without any."""
        return self.test.low.bits if self.test is not None else 0.0

    @property
    def high_bits(self) -> float:
        """Evidence for high acceptance, binary logarithm; 0 without any."""
        return self.test.high.bits if self.test is not None else 0.0

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        test = self.test
        if test is None:
            if not observation.steps:
                return None
            test = self.test = SequentialAcceptance(self._baseline_for(observation))
            self._baselines = NO_BASELINES  # one is chosen
        tail = self._tail = self._tail + observation.text
        if len(tail) > _LONGEST_TAIL:
            self._tail = tail[-TAIL_CHARACTERS:]
        if not test.update(observation, tokens):
            return None
        low = test.low.value
        self.vouches = low < _EVIDENCE_TO_ASK and test.steps >= _STEPS_TO_VOUCH and test.is_exact
        if low >= self._least and self.is_believed:
            return low_verdict(test, tokens)
        if test.high.value >= self._least and self._is_repeating:
            return self._high_verdict(test, tokens)
        return None

    @property
    def _is_repeating(self) -> bool:
        return self._repetition is not None and self._repetition.is_watching

    def _high_verdict(self, test: SequentialAcceptance, tokens: int) -> Verdict:
        assert self._repetition is not None, "high acceptance alone is no finding"
        onset = self._repetition.onset_token
        p_value = test.high.p_value()
        return Verdict(
            kind=AnomalyKind.REPETITION,
            detector=self.name,
            score=test.high.bits,
            onset_token=test.high.onset_token if onset is None else onset,
            alarm_token=tokens,
            reason=f"nearly every draft accepted since token {test.high.onset_token}; "
            f"{describe_p(p_value)}; and the tail repeats with period {self._repetition.period}",
            evidence={"p_value": p_value, "copies": self._repetition.copies},
        )

    def _baseline_for(self, observation: Observation) -> AcceptanceBaseline:
        drafted = None
        if observation.drafted and observation.steps:
            drafted = observation.drafted // observation.steps
        found = choose(self._baselines, drafted)
        return found if found is not None else published_baseline(drafted or USUAL_DRAFTS)


@cache
def published_baseline(num_drafts: int) -> AcceptanceBaseline:
    """The one that stands in for a learned one; made once for each width."""
    return AcceptanceBaseline.published(num_drafts)


def low_verdict(test: SequentialAcceptance, tokens: int) -> Verdict:
    """The finding of low acceptance, told in numbers that a person can check."""
    evidence = {
        "accept_length": test.accept_length_since or 0.0,
        "steps": float(test.steps - test.low.steps_before),
        "p_value": test.low.p_value(),
    }
    if test.accept_length_before is not None:  # a number each: JSON knows no NaN
        evidence["accept_length_before"] = test.accept_length_before
    return Verdict(
        kind=AnomalyKind.GARBLED,
        detector="acceptance",
        score=test.low.bits,
        onset_token=test.low.onset_token,
        alarm_token=tokens,
        reason=describe_low(test),
        evidence=evidence,
    )


def describe_low(test: SequentialAcceptance) -> str:
    """Such as: accepted drafts fell from 1.2 to 0.0 a step at token 64, 24 steps ago; p < 1e-4."""
    since, before = test.accept_length_since, test.accept_length_before
    steps = test.steps - test.low.steps_before
    now = f"{(since or 1.0) - 1:.2f} a step"
    fell = (
        f"accepted drafts fell from {before - 1:.2f} to {now} at token {test.low.onset_token}"
        if before is not None
        else f"accepted drafts are {now} since the first token"
    )
    return f"{fell}, {steps} steps ago; {describe_p(test.low.p_value())}"


def describe_p(p_value: float) -> str:
    """Such as ``p < 1e-6``: the power of ten above it, an upper bound."""
    if p_value >= 0.1:
        return f"p {p_value:.1f}"
    return f"p < 1e{math.ceil(math.log10(p_value))}" if p_value > 1e-30 else "p < 1e-30"
