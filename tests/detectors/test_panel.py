"""The panel fails open and every detector keeps the contract."""

from collections.abc import Callable

import pytest

from detectors.acceptance import AcceptanceThresholds, HighAcceptance, LowAcceptance
from detectors.detector import Detector
from detectors.observation import Observation
from detectors.panel import Panel, published_rule
from detectors.verdict import AnomalyKind, Verdict

GARBLED_STEP = Observation(text=" x", new_tokens=1, steps=1, drafted=3, accepted=0)
ALL_DETECTORS: list[Callable[[], Detector]] = [
    lambda: LowAcceptance(AcceptanceThresholds()),
    lambda: HighAcceptance(AcceptanceThresholds()),
]


class Crashing:
    name = "crashing"
    is_watching = True

    def update(self, observation: Observation) -> Verdict | None:
        raise ZeroDivisionError


def test_a_crash_is_counted_once_and_the_others_go_on() -> None:
    panel = Panel([Crashing(), LowAcceptance(AcceptanceThresholds())])
    verdicts = [panel.update(GARBLED_STEP) for _ in range(200)]
    assert panel.crashed == ["crashing"]
    found = next(verdict for verdict in verdicts if verdict)
    assert found.kind is AnomalyKind.GARBLED


def test_a_crashed_detector_holds_nothing_back() -> None:
    panel = Panel([Crashing()])
    panel.update(GARBLED_STEP)
    assert not panel.is_watching


class CrashingWatch:
    name = "crashing_watch"

    @property
    def is_watching(self) -> bool:
        raise ZeroDivisionError

    def update(self, observation: Observation) -> Verdict | None:
        return None


def test_a_crash_of_the_watch_level_is_a_crash_too() -> None:
    panel = Panel([CrashingWatch()])
    panel.update(GARBLED_STEP)
    assert (panel.crashed, panel.is_watching) == (["crashing_watch"], False)


def test_watching_is_any_detectors_watching() -> None:
    panel = published_rule(AcceptanceThresholds())
    assert not panel.is_watching
    for _ in range(40):
        panel.update(GARBLED_STEP)
    assert panel.is_watching


@pytest.mark.parametrize("build", ALL_DETECTORS)
class TestContract:
    def test_silent_without_numbers(self, build: Callable[[], Detector]) -> None:
        detector = build()
        assert [detector.update(Observation(text="word ")) for _ in range(300)] == [None] * 300
        assert not detector.is_watching

    def test_silent_on_a_healthy_stream(self, build: Callable[[], Detector]) -> None:
        detector = build()
        for number in range(500):
            accepted = number % 3
            seen = Observation(
                text=f" {number}", new_tokens=accepted + 1, steps=1, drafted=3, accepted=accepted
            )
            assert detector.update(seen) is None

    def test_empty_observations_change_nothing(self, build: Callable[[], Detector]) -> None:
        detector = build()
        empty = Observation(new_tokens=0, steps=0, drafted=0, accepted=0)
        assert [detector.update(empty) for _ in range(300)] == [None] * 300
        assert not detector.is_watching

    def test_a_new_one_starts_fresh(self, build: Callable[[], Detector]) -> None:
        used = build()
        for _ in range(100):
            used.update(GARBLED_STEP)
        assert build().update(GARBLED_STEP) is None
        assert not build().is_watching
