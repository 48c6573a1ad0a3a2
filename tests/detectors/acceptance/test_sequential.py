"""The sequential test, and the detector around it."""

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from detectors.acceptance.baseline import AcceptanceBaseline, largest_evidence
from detectors.acceptance.calibrated import CalibratedAcceptance, describe_p
from detectors.acceptance.sequential import SequentialAcceptance
from detectors.draft_health import DraftState
from detectors.observation import Observation
from detectors.repetition import Repetition
from detectors.verdict import AnomalyKind, Verdict

BASELINE = AcceptanceBaseline(
    model="m",
    engine="e",
    num_drafts=3,
    requests=500,
    steps=100_000,
    histogram=(0.335, 0.191, 0.113, 0.361),
    floor=(0.57, 0.203, 0.076, 0.151),
    ceiling=(0.006, 0.018, 0.056, 0.92),
)


def step(accepted: int, **changes: Any) -> Observation:
    usual = Observation(new_tokens=accepted + 1, steps=1, drafted=3, accepted=accepted)
    return replace(usual, **changes)


def alarm(detector: CalibratedAcceptance, accepted: list[int]) -> Verdict | None:
    tokens = 1
    for count in accepted:
        tokens += count + 1
        verdict = detector.update(step(count), tokens)
        if verdict is not None:
            return verdict
    return None


HEALTHY = [3, 0, 1, 3, 2, 0, 3, 1] * 10  # 185 tokens with the one of prefill


def test_a_drop_is_found_at_a_named_step_wherever_it_begins() -> None:
    for repeats in (1, 5, 20):
        verdict = alarm(CalibratedAcceptance({3: BASELINE}), [*HEALTHY * repeats, *[0] * 80])
        assert verdict is not None
        onset = 1 + repeats * (len(HEALTHY) + sum(HEALTHY))
        assert verdict.onset_token == onset
        assert verdict.alarm_token - onset <= 36 + 3 * repeats // 10
        assert verdict.kind is AnomalyKind.GARBLED
        assert verdict.reason.startswith("accepted drafts fell from 1.6")
        assert f"to 0.00 a step at token {onset}" in verdict.reason
        assert "p < 1e-4" in verdict.reason


def test_a_drafter_dead_from_the_start_is_not_believed_alone() -> None:
    detector = CalibratedAcceptance({3: BASELINE})
    assert alarm(detector, [0] * 1000) is None
    assert detector.low_bits > 40
    assert not detector.is_believed


def test_the_replicas_health_makes_it_believed() -> None:
    verdict = alarm(CalibratedAcceptance({3: BASELINE}, state=DraftState.HEALTHY), [0] * 100)
    assert verdict is not None
    assert verdict.alarm_token <= 36
    assert "since the first token" in verdict.reason
    assert all(math.isfinite(value) for value in verdict.evidence.values())


def test_high_acceptance_alone_stops_nothing() -> None:
    detector = CalibratedAcceptance({3: BASELINE}, state=DraftState.HEALTHY)
    assert alarm(detector, [3] * 2000) is None
    assert detector.high_bits > 20


def test_without_a_baseline_the_published_accept_length_is_the_floor() -> None:
    verdict = alarm(CalibratedAcceptance(state=DraftState.HEALTHY), [0] * 200)
    assert verdict is not None
    assert verdict.alarm_token <= 64  # the published rule: 129
    assert alarm(CalibratedAcceptance(state=DraftState.HEALTHY), [1, 0, 1, 0, 0] * 400) is None


def test_merged_steps_keep_the_bound_too() -> None:
    source = random.Random(5)
    passed = 0
    for _ in range(1500):
        test = SequentialAcceptance(BASELINE)
        largest = 0.0
        for _ in range(60):
            merged = source.randrange(1, 5)
            total = sum(source.choices(range(4), BASELINE.floor, k=merged))
            test.update(step(total, steps=merged, drafted=3 * merged), 0)
            largest = max(largest, test.low.value)
        passed += largest >= 10
    assert passed <= 1.2 * 0.1 * 1500


def test_a_drop_in_merged_steps_is_found_as_well() -> None:
    detector = CalibratedAcceptance({3: BASELINE}, state=DraftState.HEALTHY)
    tokens = 1
    for _ in range(12):
        tokens += 4
        verdict = detector.update(step(0, new_tokens=4, steps=4, drafted=12), tokens)
    assert verdict is not None


def test_upper_bounds_count_for_low_acceptance_only() -> None:
    test = SequentialAcceptance(BASELINE)
    for _ in range(50):
        test.update(step(3, is_upper_bound=True), 0)
    assert test.high.value == 0.0
    for _ in range(50):
        test.update(step(0, is_upper_bound=True), 0)
    assert test.low.bits > 20


def test_a_step_without_drafts_tells_nothing() -> None:
    test = SequentialAcceptance(BASELINE)
    for _ in range(500):
        test.update(step(0, drafted=0), 0)
    assert test.low.bits < 1.0


def test_accepted_is_derived_where_only_steps_are_told() -> None:
    test = SequentialAcceptance(BASELINE)
    test.update(Observation(new_tokens=3, steps=1), 3)
    assert (test.steps, test.accepted) == (1, 2)


def test_more_drafts_than_the_baseline_knows_fall_back_on_the_published_one() -> None:
    detector = CalibratedAcceptance({3: BASELINE})
    detector.update(step(5, drafted=7), 6)
    assert detector.test is not None
    assert detector.test.baseline.num_drafts == 7


def test_the_bound_holds_when_looked_at_after_every_step() -> None:
    """Requests right at the floor, which no healthy one is: the worst case."""
    source = random.Random(3)
    law = BASELINE.floor
    largest = [
        largest_evidence(source.choices(range(4), law, k=400), BASELINE.low_tables[-1])
        for _ in range(2000)
    ]
    for bound in (0.2, 0.05):
        assert sum(value >= 1 / bound for value in largest) <= 1.3 * bound * len(largest)


@pytest.mark.parametrize(
    ("p_value", "words"),
    [(3e-7, "p < 1e-6"), (1e-6, "p < 1e-6"), (0.02, "p < 1e-1"), (0.5, "p 0.5")],
)
def test_p_is_rounded_up(p_value: float, words: str) -> None:
    assert describe_p(p_value) == words


def test_high_acceptance_and_a_text_that_begins_to_repeat_are_a_loop() -> None:
    """Together sooner than the repetition is sure alone; copying that does not repeat is honest."""

    def run(ids: list[int]) -> Verdict | None:
        repetition = Repetition()
        detector = CalibratedAcceptance({3: BASELINE}, repetition=repetition)
        for tokens in range(4, len(ids), 4):
            seen = step(3, token_ids=tuple(ids[tokens - 4 : tokens]))
            assert repetition.update(seen, tokens) is None or detector.high_bits < 1
            verdict = detector.update(seen, tokens)
            if verdict is not None:
                return verdict
        return None

    source = random.Random(9)
    copied = [source.randrange(40_000) for _ in range(2400)]
    assert run(copied) is None
    block = [source.randrange(40_000) for _ in range(160)]
    verdict = run([*copied, *block * 4])
    assert verdict is not None
    assert verdict.kind is AnomalyKind.REPETITION
    assert abs(verdict.onset_token - len(copied)) <= 8
