"""What learned weights would have done on recordings they were not learned from. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors.fusion.weights import FusionWeights, probability
from monitor.training.fusion import Course, scores

MIN_TOKENS_AFTER = 64  # a stream that ended sooner gave no fair chance
_BINS = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of one split.

    Attributes:
        caught, damaged: streams stopped after their onset, of those with enough tokens after it.
        early: damaged streams that were stopped before their onset.
        delays: tokens from onset to alarm of those caught.
        false_alarms, healthy, healthy_tokens: streams stopped without damage, of so many.
        held_share: of the healthy tokens, held back for a while.
        calibration_error: mean distance between probability and observed share, over ten bins,
            with both kinds of stream weighted to the prior.
    """

    caught: int
    damaged: int
    early: int
    delays: tuple[int, ...]
    false_alarms: int
    healthy: int
    healthy_tokens: int
    held_share: float
    calibration_error: float

    @property
    def median_delay(self) -> float | None:
        return statistics.median(self.delays) if self.delays else None

    @property
    def p95_delay(self) -> int | None:
        if not self.delays:
            return None
        return sorted(self.delays)[min(len(self.delays) - 1, int(0.95 * len(self.delays)))]


def outcome(found: Sequence[Course], weights: FusionWeights) -> Outcome:
    """The fusion alone, without the detectors beside it."""
    caught, early, damaged = 0, 0, 0
    delays: list[int] = []
    false_alarms, held, healthy_tokens = 0, 0, 0
    healthy = [course for course in found if not course.record.is_damaged]
    for course in found:
        at = _alarm(course, weights)
        onset = course.record.onset_token if course.record.is_damaged else None
        if onset is None:
            false_alarms += at is not None
            values = scores(course, weights)
            new = np.diff(course.tokens, prepend=0)
            held += int(new[values >= weights.watch_score].sum()) if len(new) else 0
            healthy_tokens += int(course.tokens[-1]) if len(course.tokens) else 0
        elif at is not None and at <= onset:
            early += 1
        elif course.tokens[-1] - onset >= MIN_TOKENS_AFTER:
            damaged += 1
            if at is not None:
                caught += 1
                delays.append(at - onset)
    return Outcome(
        caught,
        damaged,
        early,
        tuple(delays),
        false_alarms,
        len(healthy),
        healthy_tokens,
        held / max(1, healthy_tokens),
        calibration_error(found, weights),
    )


def calibration_error(found: Sequence[Course], weights: FusionWeights) -> float:
    """Expected calibration error of the last probability of each stream."""
    last, label = [], []
    for course in found:
        if len(course.tokens):
            last.append(probability(float(scores(course, weights)[-1])))
            label.append(course.record.is_damaged)
    return _expected_error(np.asarray(last), np.asarray(label), weights.prior)


def _expected_error(chances: NDArray[np.float64], labels: NDArray[np.bool_], prior: float) -> float:
    damaged = max(1, int(labels.sum()))
    healthy = max(1, int((~labels).sum()))
    mass = np.where(labels, prior / damaged, (1 - prior) / healthy)
    places = np.minimum((chances * _BINS).astype(int), _BINS - 1)
    total = 0.0
    for place in range(_BINS):
        chosen = places == place
        if chosen.any():
            total += abs(float((mass * labels)[chosen].sum() - (mass * chances)[chosen].sum()))
    return total


def _alarm(course: Course, weights: FusionWeights) -> int | None:
    passed = np.flatnonzero(scores(course, weights) >= weights.alarm_score)
    return int(course.tokens[passed[0]]) if len(passed) and len(course.tokens) else None
