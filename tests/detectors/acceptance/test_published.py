"""The published rule fires where it says, and nowhere else."""

import pytest

from detectors.acceptance.published import AcceptanceThresholds, HighAcceptance, LowAcceptance
from detectors.observation import Observation
from detectors.verdict import AnomalyKind, Verdict
from tests.detectors.streams import show

LIMITS = AcceptanceThresholds()


def prefill() -> Observation:
    return Observation(text=" a", new_tokens=1, steps=0)


def step(accepted: int, *, drafted: int = 3, text: str = " a", bound: bool = False) -> Observation:
    return Observation(
        text=text,
        new_tokens=accepted + 1,
        steps=1,
        drafted=drafted,
        accepted=accepted,
        is_upper_bound=bound,
    )


def run_low(observations: list[Observation]) -> tuple[LowAcceptance, Verdict | None]:
    detector = LowAcceptance(LIMITS)
    verdicts = show(detector, observations)
    return detector, next((verdict for verdict in verdicts if verdict is not None), None)


def test_one_token_per_step_fires_at_token_129_not_at_128() -> None:
    _, silent = run_low([prefill(), *[step(0)] * 127])
    _, verdict = run_low([prefill(), *[step(0)] * 200])
    assert silent is None
    assert verdict is not None
    assert (verdict.kind, verdict.alarm_token) == (AnomalyKind.GARBLED, 129)
    assert verdict.score == 1.0
    assert verdict.onset_token <= 1


def test_accept_length_leaves_out_the_prefill_token() -> None:
    # 1 + 140 tokens in 100 steps: exactly 1.4 without the prefill token, so not under it
    steps = [step(1), step(1), step(0), step(0), step(0)] * 20
    _, verdict = run_low([prefill(), *steps])
    assert verdict is None


def test_healthy_generation_stays_silent() -> None:
    detector, verdict = run_low([prefill(), *[step(1)] * 400])
    assert verdict is None
    assert not detector.is_watching


def test_late_onset_is_estimated_at_the_step_where_the_deficit_began() -> None:
    healthy = [step(1)] * 100  # 201 tokens out
    _, verdict = run_low([prefill(), *healthy, *[step(0)] * 400])
    assert verdict is not None
    assert verdict.onset_token == 201
    assert verdict.alarm_token == 201 + 151


def test_watch_level_is_passed_long_before_the_alarm() -> None:
    detector = LowAcceptance(LIMITS)
    passed_at = None
    for index, observation in enumerate([prefill(), *[step(1)] * 100, *[step(0)] * 40]):
        detector.update(observation, 0)
        if detector.is_watching and passed_at is None:
            passed_at = index - 101
    assert passed_at == 10  # 0.4 tokens of deficit per step, level 4


def test_watch_level_by_the_mean_needs_sixteen_tokens() -> None:
    detector = LowAcceptance(AcceptanceThresholds(watch_deficit_tokens=1e9))
    detector.update(prefill(), 1)
    watched = []
    for _ in range(20):
        detector.update(step(0), 0)
        watched.append(detector.is_watching)
    assert watched.index(True) == 14  # 1 + 15 tokens


def test_watch_falls_back_when_acceptance_recovers() -> None:
    detector = LowAcceptance(LIMITS)
    for observation in [prefill(), *[step(0)] * 20]:
        detector.update(observation, 0)
    assert detector.is_watching
    for _ in range(60):
        detector.update(step(2), 0)
    assert not detector.is_watching


@pytest.mark.parametrize(
    "silent_engine",
    [Observation(text=" word"), Observation(text=" word", new_tokens=1)],
    ids=["text only", "tokens without steps"],
)
def test_engines_that_tell_no_acceptance_never_alarm(silent_engine: Observation) -> None:
    low, high = LowAcceptance(LIMITS), HighAcceptance(LIMITS)
    for _ in range(500):
        assert low.update(silent_engine, 0) is None
        assert high.update(silent_engine, 0) is None
    assert not low.is_watching
    assert not high.is_watching


def test_all_drafts_accepted_is_repetition_after_the_minimum_of_steps() -> None:
    detector = HighAcceptance(LIMITS)
    detector.update(prefill(), 1)
    verdicts = [detector.update(step(3), 0) for _ in range(LIMITS.accept_rate_min_steps)]
    assert verdicts[:-1] == [None] * (LIMITS.accept_rate_min_steps - 1)
    final = verdicts[-1]
    assert final is not None
    assert (final.kind, final.score) == (AnomalyKind.REPETITION, 1.0)


def test_rate_at_the_threshold_is_not_over_it() -> None:
    detector = HighAcceptance(AcceptanceThresholds(max_accept_rate=0.75, accept_rate_min_steps=4))
    assert [detector.update(step(3, drafted=4), 0) for _ in range(50)] == [None] * 50


def test_upper_bound_needs_the_text_to_agree() -> None:
    honest, looping = HighAcceptance(LIMITS), HighAcceptance(LIMITS)
    numbers = [step(3, text=f" number {number * 7919},", bound=True) for number in range(200)]
    assert show(honest, numbers) == [None] * 200
    assert not honest.is_watching
    verdicts = show(looping, [step(3, text=" the same again", bound=True)] * 200)
    found = next(verdict for verdict in verdicts if verdict)
    assert found.kind is AnomalyKind.REPETITION


def test_repetition_onset_is_where_the_text_began_to_repeat() -> None:
    detector = HighAcceptance(AcceptanceThresholds(max_accept_rate=0.8))
    fresh = [
        Observation(token_ids=(n,), new_tokens=1, steps=1, drafted=3, accepted=0) for n in range(4)
    ]
    loop = [
        Observation(token_ids=(50, 51, 52, 53), new_tokens=4, steps=1, drafted=3, accepted=3)
    ] * 100
    found = next(verdict for verdict in show(detector, [*fresh, *loop]) if verdict)
    assert abs(found.onset_token - 4) <= 4
