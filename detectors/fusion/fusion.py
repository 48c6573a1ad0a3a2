"""One decision from all evidence on a stream: weak signs that agree are worth a strong one."""

from math import log2

from detectors.acceptance.baseline import HORIZON_STEPS
from detectors.acceptance.calibrated import CalibratedAcceptance, describe_low
from detectors.fusion.features import FEATURES, UPPER, Features, read_features
from detectors.fusion.surprisal import Surprisal
from detectors.fusion.weights import FusionWeights, probability
from detectors.observation import Observation
from detectors.repetition import Repetition
from detectors.text.gibberish import Gibberish
from detectors.verdict import AnomalyKind, Verdict

_MIN_BITS_TO_PLACE = 6.0  # evidence for low acceptance that may tell where the damage began
_LOOK_TOKENS = 16  # between two looks at the text: it is read in blocks of about as much
_WITNESS = 0.4  # of what text alone needs, to believe low acceptance of an unknown drafter
_LITTLE = 2.0 / HORIZON_STEPS  # evidence of one bit


class Fusion:
    """Reads the other detectors of the same stream, which must have seen the observation first.

    Acceptance counts after every step; the rest, which changes more slowly, every few tokens.
    Nothing is decided while acceptance vouches for the stream.
    """

    name = "fusion"
    __slots__ = (
        "_acceptance",
        "_look_at",
        "_repetition",
        "_rest",
        "_surprisal",
        "_text",
        "_weights",
        "is_watching",
        "score",
    )

    def __init__(
        self,
        weights: FusionWeights,
        acceptance: CalibratedAcceptance,
        repetition: Repetition,
        text: Gibberish,
    ) -> None:
        self._weights = weights
        self._acceptance = acceptance
        self._repetition = repetition
        self._text = text
        self._surprisal: Surprisal | None = None  # few engines tell
        self._look_at = 0  # tokens
        self._rest = weights.intercept  # the score without low acceptance
        self.score = weights.intercept
        self.is_watching = False

    @property
    def is_text_suspect(self) -> bool:
        """What else than acceptance is known speaks for damage at least a little."""
        return self._text.surprise > 0 or self._text.rare_score > 0

    @property
    def _is_believed(self) -> bool:
        """Low acceptance is about this answer: its drafter works, or its text is odd as well."""
        return self._acceptance.is_believed or self._text.corroborates(_WITNESS)

    @property
    def features(self) -> Features:
        """What it looks at, now."""
        return self._read(UPPER[0] if self._is_believed else self._weights.most_unbelieved_bits)

    def _read(self, most_bits: float) -> Features:
        surge = self._surprisal.surge if self._surprisal is not None else 0.0
        return read_features(self._acceptance, self._text, self._repetition, surge, most_bits)

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        if observation.logprobs:
            self._surprisal = self._surprisal or Surprisal()
            self._surprisal.update(observation.logprobs)
        acceptance, weights = self._acceptance, self._weights
        if acceptance.vouches:
            self.score = self._rest
            self.is_watching = False
            return None
        if tokens >= self._look_at:
            self._look_at = tokens - tokens % _LOOK_TOKENS + _LOOK_TOKENS
            self._rest = weights.score(self._read(most_bits=0.0))
        test = acceptance.test
        if test is None or test.low.value < _LITTLE:
            self.score = self._rest
        else:
            bits = min(log2(test.low.value * HORIZON_STEPS), UPPER[0])
            if bits > weights.most_unbelieved_bits and not self._is_believed:
                bits = weights.most_unbelieved_bits
            self.score = self._rest + weights.weights[0] * bits
        self.is_watching = self.score >= weights.watch_score
        return self._verdict(tokens) if self.score >= weights.alarm_score else None

    def _verdict(self, tokens: int) -> Verdict:
        features = self.features
        parts = [
            weight * value for weight, value in zip(self._weights.weights, features, strict=True)
        ]
        by_name = dict(zip(FEATURES, features, strict=True))
        is_rare = parts[FEATURES.index("rare")] > max(parts[FEATURES.index("text")], 0.0)
        chance = probability(self.score)
        return Verdict(
            kind=AnomalyKind.RARE_CHAR if is_rare else AnomalyKind.GARBLED,
            detector=self.name,
            score=self.score,
            onset_token=self._onset(tokens),
            alarm_token=tokens,
            reason=f"damaged with probability {chance:.3f}: {self._describe(by_name)}",
            evidence={**by_name, "probability": chance},
        )

    def _onset(self, tokens: int) -> int:
        test = self._acceptance.test
        if test is not None and test.low.bits >= _MIN_BITS_TO_PLACE:
            return min(test.low.onset_token, tokens)
        return min(self._text.onset_token, tokens)

    def _describe(self, features: dict[str, float]) -> str:
        test = self._acceptance.test
        words = []
        if test is not None and features["low_acceptance"] >= 1:
            words.append(describe_low(test))
        if features["text"] > 0:
            words.append(f"the text reads like word soup (log-odds {features['text']:.1f})")
        if features["rare"] > 0:
            words.append(f"rare characters (score {features['rare']:.1f})")
        if features["token_rank"] > 0.5:
            words.append(f"tokens {features['token_rank']:.1f} bits rarer than before")
        if features["surprisal"] > 0.5:
            words.append(f"tokens {features['surprisal']:.1f} nats less likely than before")
        return "; ".join(words) or "several weak signs"
