"""The published rule on the acceptance of drafts: two thresholds. Knows no engine.

Accept length and accept rate are cumulative over one generation:

    accept length = (tokens out - 1) / steps
    accept rate   = drafts accepted / drafts proposed

The first token comes from prefill, not from a verification step, so it is in neither number of the
first.
"""

from dataclasses import dataclass

from detectors.observation import Observation
from detectors.repetition import RepetitionCheck, text_repetition, token_repetition
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

    def update(self, observation: Observation) -> Verdict | None:
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
            evidence={
                "accept_length": accept_length,
                "threshold": limits.min_accept_length,
                "steps": float(self._steps),
            },
        )


class HighAcceptance:
    """Repetition: accept rate over the threshold once enough steps were seen.

    Where any acceptance so far was only an upper bound, the text must agree. The onset is the start
    of the second copy where the text repeats, else the last zero of the CUSUM of accepted - watch
    rate * drafted.
    """

    name = "accept_rate"

    def __init__(self, thresholds: AcceptanceThresholds) -> None:
        self._thresholds = thresholds
        self._tokens = 0
        self._steps = 0
        self._drafted = 0
        self._accepted = 0
        self._is_upper_bound = False
        self._excess = 0.0
        self._onset_token = 0
        self._text = _TailRepetition()

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
        return not self._is_upper_bound or self._text.is_periodic

    def update(self, observation: Observation) -> Verdict | None:
        self._text.update(observation, self._tokens)
        self._tokens += observation.new_tokens or 0
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
            evidence={
                "accept_rate": accept_rate,
                "threshold": self._thresholds.max_accept_rate,
                "steps": float(self._steps),
                "is_upper_bound": float(self._is_upper_bound),
                "period": float(self._text.period or 0),
            },
        )


class _TailRepetition:
    """Feeds token ids where the engine sends them.

    Else characters, and maps the onset to tokens.
    """

    def __init__(self) -> None:
        self._by_token: RepetitionCheck | None = None
        self._by_text: RepetitionCheck | None = None
        self._run_start: int | None = None  # in symbols; tells a new run from a known one
        self._run_token = 0

    @property
    def is_periodic(self) -> bool:
        check = self._check
        return check is not None and check.is_periodic

    @property
    def period(self) -> int | None:
        return self._check.period if self._check is not None and self._check.is_periodic else None

    @property
    def onset_token(self) -> int | None:
        """Token index where the second copy began (approximate when only text is known)."""
        if self._check is None or not self._check.is_periodic:
            return None
        return self._check.start if self._check is self._by_token else self._run_token

    @property
    def _check(self) -> RepetitionCheck | None:
        return self._by_token or self._by_text

    def update(self, observation: Observation, tokens_before: int) -> None:
        if observation.token_ids and self._by_text is None:
            self._by_token = self._by_token or token_repetition()
            for token_id in observation.token_ids:
                self._by_token.push(token_id)
        elif observation.text and self._by_token is None:
            self._by_text = self._by_text or text_repetition()
            for character in observation.text:
                self._by_text.push(ord(character))
            self._note_run(self._by_text, tokens_before)

    def _note_run(self, check: RepetitionCheck, tokens_before: int) -> None:
        if check.start != self._run_start:
            self._run_start = check.start
            self._run_token = tokens_before
