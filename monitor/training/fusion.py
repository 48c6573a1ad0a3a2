"""Learns the fusion's numbers from recordings that say what was damaged. Needs scikit-learn.

Splits by prompt: weights from ``train``, scores at which it acts from ``calibrate``, the figures of
the report from ``test``. A recording without a split gets one by its prompt (or its id).
"""

import random
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from detectors.acceptance.library import BaselineLibrary
from detectors.draft_health import DraftState
from detectors.fusion.features import FEATURES, Features
from detectors.fusion.weights import FusionWeights
from detectors.panels import DefaultPanel
from monitor.offline.recording import Recording
from monitor.offline.replay import observations

PRIOR = 1e-3
"""Share of damaged streams that the probabilities are meant for."""
AFTER_ONSET = (8, 12, 16, 20, 24, 32, 48)  # tokens at which a damaged stream is looked at
LOOKS_AT_HEALTHY = 6
FALSE_ALARMS_PER_MILLION = 1.0
HELD_SHARE = 0.01
SPLITS = ("train", "train", "calibrate", "test")
MOST_UNBELIEVED_BITS = 10.0
NEUTRAL = FusionWeights(
    (0.0,) * len(FEATURES), 0.0, 1e9, 1e9, MOST_UNBELIEVED_BITS, PRIOR, "nothing"
)

Matrix = NDArray[np.float64]


@dataclass(slots=True)
class Course:
    """The features of one stream after every observation."""

    record: Recording
    split: str
    tokens: NDArray[np.int64]
    features: Matrix

    @property
    def healthy(self) -> NDArray[np.bool_]:
        """Where the stream was still healthy."""
        onset = self.record.onset_token if self.record.is_damaged else None
        return np.ones(len(self.tokens), bool) if onset is None else self.tokens <= onset


def split_of(record: Recording) -> str:
    """The record's own split, else one by its prompt, so that no prompt is in two."""
    if record.split is not None:
        return record.split
    name = record.prompt_id if record.prompt_id is not None else record.id
    return SPLITS[zlib.crc32(str(name).encode()) % len(SPLITS)]


def courses(records: Iterable[Recording], baselines: BaselineLibrary) -> Iterator[Course]:
    """What the fusion would have seen of each record, on replicas whose drafter works."""
    for record in records:
        panel = DefaultPanel(
            baselines=baselines.find(record.model, record.engine, record.temperature),
            weights=NEUTRAL,
            state=DraftState.HEALTHY,
        )
        tokens, features = [], []
        for observation in observations(record):
            panel.update(observation)
            tokens.append(panel.tokens)
            features.append(panel.fusion.features)
        yield Course(record, split_of(record), np.asarray(tokens), _matrix(features))


def learn(found: Sequence[Course], trained_on: str) -> FusionWeights:
    """Weights from the train split, the scores at which it acts from the calibrate split.

    Raises:
        ValueError: a split has no damaged or no healthy stream.
    """
    train = [course for course in found if course.split == "train"]
    calibrate = [course for course in found if course.split == "calibrate"]
    for name, chosen in (("train", train), ("calibrate", calibrate)):
        for is_damaged in (True, False):
            if not any(course.record.is_damaged is is_damaged for course in chosen):
                kind = "damaged" if is_damaged else "healthy"
                raise ValueError(f"no {kind} recording in the {name} split: record more of them")
    weights = fit(train, hard=[])
    # Once more, with the moments at which healthy streams looked worst.
    weights = fit(train, hard=[_worst_moment(course, weights) for course in train])
    return replace(calibrated(weights, calibrate), trained_on=trained_on)


def fit(train: Sequence[Course], hard: Sequence[Features | None]) -> FusionWeights:
    """Logistic regression; no evidence may speak for health but text that reads well."""
    rows, labels = [], []
    for course in train:
        for features, is_damaged in _looks(course):
            rows.append(features)
            labels.append(is_damaged)
    for worst in hard:
        if worst is not None:
            rows.append(worst)
            labels.append(False)
    data, target = _matrix(rows), np.asarray(labels)
    kept = np.ones(len(FEATURES), bool)
    while True:
        # The two classes count alike; the prior comes in by the intercept.
        model = LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000)
        model.fit(data[:, kept], target)
        coefficients = np.zeros(len(FEATURES))
        coefficients[kept] = model.coef_[0]
        if (coefficients >= 0).all():
            break
        kept &= coefficients >= 0
    intercept = float(model.intercept_[0]) + float(np.log(PRIOR / (1 - PRIOR)))
    return replace(NEUTRAL, weights=tuple(map(float, coefficients)), intercept=intercept)


def calibrated(weights: FusionWeights, calibrate: Sequence[Course]) -> FusionWeights:
    """Puts the alarm, the watch level and the limit for a drafter that may be dead."""
    healthy = [course for course in calibrate if not course.record.is_damaged]
    total = sum(int(course.tokens[-1]) for course in healthy if len(course.tokens))
    highest = sorted((scores(course, weights).max() for course in healthy), reverse=True)
    may_alarm = round(FALSE_ALARMS_PER_MILLION * total / 1e6)
    alarm = max(float(highest[min(may_alarm, len(highest) - 1)]), 0.0)
    spread = np.concatenate([scores(course, weights) for course in healthy])
    watch = float(np.quantile(spread, 1 - HELD_SHARE))
    without = replace(weights, weights=(0.0, *weights.weights[1:]))
    fine_text = max(scores(course, without).max() for course in healthy)
    unbelieved = max(0.0, (alarm - float(fine_text)) / max(weights.weights[0], 1e-9) - 0.5)
    return replace(
        weights,
        alarm_score=alarm,
        watch_score=min(watch, alarm - 1.0),
        most_unbelieved_bits=min(unbelieved, MOST_UNBELIEVED_BITS),
    )


def _looks(course: Course) -> Iterator[tuple[Features, bool]]:
    """Moments of a stream: some of its healthy part, and fixed distances from the onset."""
    source = random.Random(str(course.record.id))
    healthy = np.flatnonzero(course.healthy)
    for place in source.sample([*map(int, healthy)], min(LOOKS_AT_HEALTHY, len(healthy))):
        yield tuple(course.features[place]), False
    onset = course.record.onset_token
    if not course.record.is_damaged or onset is None:
        return
    for distance in AFTER_ONSET:
        place = int(np.searchsorted(course.tokens, onset + distance))
        if place < len(course.tokens):
            yield tuple(course.features[place]), True


def _worst_moment(course: Course, weights: FusionWeights) -> Features | None:
    """The healthy moment with the highest score."""
    places = np.flatnonzero(course.healthy)
    if not len(places):
        return None
    worst = places[int(scores(course, weights)[places].argmax())]
    return tuple(course.features[worst])


def scores(course: Course, weights: FusionWeights) -> NDArray[np.float64]:
    """The score after every observation."""
    if not len(course.tokens):
        return np.asarray([weights.intercept])
    found: NDArray[np.float64] = course.features @ np.asarray(weights.weights)
    return found + weights.intercept


def _matrix(rows: Sequence[Features]) -> Matrix:
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), len(FEATURES))
