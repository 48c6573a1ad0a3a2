"""The published rule on the acceptance of drafts: two thresholds. Knows no engine.

Accept length and accept rate are cumulative over one generation:

    accept length = (tokens out - 1) / steps
    accept rate   = drafts accepted / drafts proposed

The first token comes from prefill, not from a verification step, so it is in neither number of the
first.
"""

from dataclasses import dataclass

from detectors.observation import Observation
from detectors.repetition import Repetition
from detectors.verdict import AnomalyKind, Verdict


@dataclass(frozen=True, slots=True)
class AcceptanceThresholds:
    """Options of the rule. The first two numbers of each pair are the published ones.

    Attributes:
        min_accept_length: garbled below it ...
        accept_length_after_tokens: ... once more than this many tokens are out.
        max_accept_rate: repetition above it ...
        accept_rate_min_steps: ... once this many steps were seen. The published rule names no
            minimum, but the first few steps of an honest list or quotation are often all accepted.
            32 steps of 3 drafts are 128 tokens: as much output as the other half of the rule waits
            for.
        watch_accept_length: past the watch level below it (after ``watch_after_tokens``).
        watch_accept_rate: past the watch level above it (after ``watch_min_steps``).
        watch_deficit_tokens: past the watch level when the tokens missing to ``min_accept_length``
            since the estimated onset (a CUSUM) exceed this. It sees a late onset, to which the
            cumulative mean is blind for a long time: at one token per step it trips after 10 steps.
    """

    min_accept_length: float = 1.4
    accept_length_after_tokens: int = 128
    max_accept_rate: float = 0.96
    accept_rate_min_steps: int = 32
    watch_accept_length: float = 1.6
    watch_after_tokens: int = 16
    watch_accept_rate: float = 0.9
    watch_min_steps: int = 8
    watch_deficit_tokens: float = 4.0


class LowAcceptance:
    """Garbled output: accept length under the threshold once enough tokens are out.

    The onset is the last point at which the sum over steps of (threshold - tokens of the step) was
    at its minimum, kept as a CUSUM that restarts at zero: from there on the deficit only grew.
    """

    name = "accept_length"

    def __init__(self, thresholds: AcceptanceThresholds) -> None:
        self._thresholds = thresholds
        self._tokens = 0
        self._steps = 0
        self._deficit_tokens = 0.0
        self._onset_token = 0

    @property
    def is_watching(self) -> bool:
        limits = self._thresholds
        if self._deficit_tokens > limits.watch_deficit_tokens:
            return True
        return (
            self._steps > 0
            and self._tokens >= limits.watch_after_tokens
            and self._tokens - 1 < limits.watch_accept_length * self._steps
        )

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        if observation.new_tokens is None:
            return None
        limits = self._thresholds
        steps = observation.steps or 0  # an engine that tells no steps never gets a ratio
        is_first = self._tokens == 0 and observation.new_tokens > 0
        self._tokens += observation.new_tokens
        self._steps += steps
        verified = observation.new_tokens - 1 if is_first else observation.new_tokens
        self._deficit_tokens += limits.min_accept_length * steps - verified
        if self._deficit_tokens <= 0:
            self._deficit_tokens = 0.0
            self._onset_token = self._tokens
        if self._steps == 0 or self._tokens <= limits.accept_length_after_tokens:
            return None
        accept_length = (self._tokens - 1) / self._steps
        if accept_length >= limits.min_accept_length:
            return None
        return Verdict(
            kind=AnomalyKind.GARBLED,
            detector=self.name,
            score=accept_length,
            onset_token=self._onset_token,
            alarm_token=self._tokens,
            reason=f"accept length {accept_length:.2f} over {self._steps} steps, under "
            f"{limits.min_accept_length:g} after {self._tokens} tokens",
            evidence={
                "accept_length": accept_length,
                "threshold": limits.min_accept_length,
                "steps": float(self._steps),
            },
        )


class HighAcceptance:
    """Repetition: accept rate over the threshold once enough steps were seen.

    Where any acceptance so far was only an upper bound, the text must agree: ``repetition`` is the
    stream's own detector where one sees the observations already. The onset is the start
    of the first copy where the text repeats, else the last zero of the CUSUM of accepted - watch
    rate * drafted.
    """

    name = "accept_rate"

    def __init__(
        self, thresholds: AcceptanceThresholds, repetition: Repetition | None = None
    ) -> None:
        self._thresholds = thresholds
        self._tokens = 0
        self._steps = 0
        self._drafted = 0
        self._accepted = 0
        self._is_upper_bound = False
        self._excess = 0.0
        self._onset_token = 0
        self._owns_text = repetition is None
        self._text = Repetition() if repetition is None else repetition

    @property
    def is_watching(self) -> bool:
        limits = self._thresholds
        return (
            self._steps >= limits.watch_min_steps
            and self._accepted > limits.watch_accept_rate * self._drafted
            and self._can_be_believed
        )

    @property
    def _can_be_believed(self) -> bool:
        return not self._is_upper_bound or self._text.period is not None

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        if self._owns_text:
            self._text.update(observation, tokens)
        self._tokens = tokens
        if observation.drafted is None or observation.accepted is None:
            return None
        self._count(observation, observation.drafted, observation.accepted)
        limits = self._thresholds
        if self._drafted <= 0 or self._steps < limits.accept_rate_min_steps:
            return None
        accept_rate = self._accepted / self._drafted
        if accept_rate <= limits.max_accept_rate or not self._can_be_believed:
            return None
        return self._verdict(accept_rate)

    def _count(self, observation: Observation, drafted: int, accepted: int) -> None:
        has_drafts = 1 if drafted > 0 else 0
        self._steps += has_drafts if observation.steps is None else observation.steps
        self._drafted += drafted
        self._accepted += accepted
        self._is_upper_bound = self._is_upper_bound or observation.is_upper_bound
        self._excess += accepted - self._thresholds.watch_accept_rate * drafted
        if self._excess <= 0:
            self._excess = 0.0
            self._onset_token = self._tokens

    def _verdict(self, accept_rate: float) -> Verdict:
        repeat_onset = self._text.onset_token
        return Verdict(
            kind=AnomalyKind.REPETITION,
            detector=self.name,
            score=accept_rate,
            onset_token=self._onset_token if repeat_onset is None else repeat_onset,
            alarm_token=self._tokens,
            reason=f"{accept_rate:.1%} of the drafts of {self._steps} steps accepted, over "
            f"{self._thresholds.max_accept_rate:.0%}",
            evidence={
                "accept_rate": accept_rate,
                "threshold": self._thresholds.max_accept_rate,
                "steps": float(self._steps),
                "is_upper_bound": float(self._is_upper_bound),
                "period": float(self._text.period or 0),
            },
        )
