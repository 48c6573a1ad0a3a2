"""The panels fail open, and every detector keeps the contract."""

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from detectors.acceptance.calibrated import CalibratedAcceptance
from detectors.acceptance.library import ByDrafts, packaged_baselines
from detectors.acceptance.published import AcceptanceThresholds, HighAcceptance, LowAcceptance
from detectors.detector import Detector
from detectors.draft_health import DraftState
from detectors.observation import Observation
from detectors.panel import Panel
from detectors.panels import DefaultPanel, published_panel
from detectors.repetition import Repetition
from detectors.text.gibberish import Gibberish
from detectors.verdict import AnomalyKind, Verdict
from tests.detectors.streams import CODE, PROSE, first_verdict, show, soup, stream

BASELINES = packaged_baselines().find("smollm2-135m-instruct")
GARBLED_STEP = Observation(text=" x", new_tokens=1, steps=1, drafted=3, accepted=0)


def fusion_with_its_sources() -> Detector:
    """The whole default panel, seen as one detector."""
    return _AsDetector(DefaultPanel(baselines=BASELINES))


class _AsDetector:
    name = "default panel"

    def __init__(self, panel: Panel) -> None:
        self._panel = panel

    @property
    def is_watching(self) -> bool:
        return self._panel.is_watching

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        return self._panel.update(observation)


ALL_DETECTORS: list[Callable[[], Detector]] = [
    lambda: LowAcceptance(AcceptanceThresholds()),
    lambda: HighAcceptance(AcceptanceThresholds()),
    lambda: CalibratedAcceptance(BASELINES),
    Repetition,
    Gibberish,
    fusion_with_its_sources,
    lambda: _AsDetector(DefaultPanel()),
]


class Crashing:
    name = "crashing"
    is_watching = True

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        raise ZeroDivisionError


class CrashingWatch:
    name = "crashing_watch"

    @property
    def is_watching(self) -> bool:
        raise ZeroDivisionError

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        return None


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


def test_a_crash_of_the_watch_level_is_a_crash_too() -> None:
    panel = Panel([CrashingWatch()])
    panel.update(GARBLED_STEP)
    assert (panel.is_watching, panel.crashed) == (False, ["crashing_watch"])


def test_tokens_are_estimated_where_the_engine_tells_none() -> None:
    panel = Panel([])
    for start in range(0, len(PROSE), 7):
        panel.update(Observation(text=PROSE[start : start + 7]))
    assert panel.tokens == pytest.approx(len(PROSE) / 4.5, rel=0.1)


@pytest.mark.parametrize("build", ALL_DETECTORS)
class TestContract:
    def test_silent_on_text_without_numbers(self, build: Callable[[], Detector]) -> None:
        detector = build()
        pieces = [Observation(text=PROSE[at : at + 4]) for at in range(0, len(PROSE), 4)]
        assert not any(show(detector, pieces))
        assert not detector.is_watching

    @pytest.mark.parametrize("text", [PROSE, CODE], ids=["prose", "code"])
    def test_silent_on_a_healthy_stream(self, build: Callable[[], Detector], text: str) -> None:
        assert not any(show(build(), stream(text)))

    def test_empty_observations_change_nothing(self, build: Callable[[], Detector]) -> None:
        detector = build()
        empty = Observation(new_tokens=0, steps=0, drafted=0, accepted=0)
        assert [detector.update(empty, 0) for _ in range(300)] == [None] * 300
        assert not detector.is_watching

    def test_missing_fields_are_no_numbers(self, build: Callable[[], Detector]) -> None:
        detector = build()
        for seen in (Observation(), Observation(new_tokens=3), Observation(steps=2)):
            assert show(detector, [seen] * 50) == [None] * 50

    def test_a_new_one_starts_fresh(self, build: Callable[[], Detector]) -> None:
        used = build()
        show(used, [GARBLED_STEP] * 300)
        first = list(stream(PROSE))
        assert show(build(), first) == show(build(), first)
        assert not build().is_watching

    def test_memory_is_bounded(self, build: Callable[[], Detector]) -> None:
        detector = build()
        text = (PROSE + "\n" + CODE) * 40  # 100,000 characters
        halfway = 0
        for number, seen in enumerate(stream(text)):
            detector.update(seen, number)
            if number == 4000:
                halfway = deep_size(detector)
        assert deep_size(detector) <= halfway + 600


SHARED = (type, type(sys), type(lambda: 0), AcceptanceThresholds)


def deep_size(value: Any, seen: set[int] | None = None) -> int:
    """Bytes of a detector and of all that belongs to it alone: no weights, no baselines."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, SHARED) or value is BASELINES:
        return 0
    seen.add(id(value))
    if isinstance(value, tuple | frozenset) and sys.getrefcount(value) > 50:
        return 0
    parts = list(getattr(value, "__dict__", {}).values())
    for kind in type(value).__mro__:
        names = getattr(kind, "__slots__", ())
        parts += [
            getattr(value, name, None) for name in ([names] if isinstance(names, str) else names)
        ]
    if isinstance(value, list | tuple | set):
        parts += list(value)
    elif isinstance(value, dict):
        parts += [*value.keys(), *value.values()]
    shared = {id(kept) for kept in _shared_values()}
    return sys.getsizeof(value) + sum(deep_size(part, seen | shared) for part in parts)


def _shared_values() -> list[Any]:
    baseline = BASELINES[3]
    return [baseline, baseline.low_tables, baseline.high_tables, BASELINES]


def test_garbled_text_with_low_acceptance_is_found_early_wherever_it_begins() -> None:
    for repeats in (1, 3):
        before = "\n\n".join([PROSE, CODE, PROSE.upper().lower()][:repeats])
        onset = -(-len(before) // 4)
        steps = [*stream(before), *list(stream(soup(200), accepted=(0,)))[1:]]
        verdict = first_verdict(DefaultPanel(baselines=BASELINES), steps)
        assert verdict is not None
        assert verdict.kind in (AnomalyKind.GARBLED, AnomalyKind.RARE_CHAR)
        assert onset <= verdict.alarm_token <= onset + 40
        assert abs(verdict.onset_token - onset) <= 12
        assert verdict.reason


def test_a_dead_drafter_with_fine_text_is_no_finding_of_the_text() -> None:
    """Accept length 1.06 from the first token on, text that reads well."""
    dead = (0,) * 15 + (1,)
    for state in (DraftState.UNKNOWN, DraftState.DEAD):
        for text in (PROSE, CODE):
            panel = DefaultPanel(baselines=BASELINES, state=state)
            assert first_verdict(panel, stream(text, accepted=dead)) is None
            panel = DefaultPanel(state=state)
            assert first_verdict(panel, stream(text, accepted=dead)) is None


def test_soup_is_found_even_where_the_drafter_is_dead() -> None:
    panel = DefaultPanel(baselines=BASELINES, state=DraftState.DEAD)
    verdict = first_verdict(panel, stream(soup(300), accepted=(0,)))
    assert verdict is not None
    assert verdict.alarm_token <= 96


def test_odd_text_whose_drafts_are_accepted_as_usual_is_the_models_own() -> None:
    odd = soup(300)
    assert first_verdict(DefaultPanel(baselines=BASELINES), stream(odd)) is None
    pieces = (Observation(text=odd[at : at + 5]) for at in range(0, len(odd), 5))
    assert first_verdict(DefaultPanel(baselines=BASELINES), pieces) is not None


def test_an_upper_bound_does_not_speak_for_odd_text() -> None:
    seen = [replace(each, is_upper_bound=True) for each in stream(soup(300))]
    assert first_verdict(DefaultPanel(baselines=BASELINES), seen) is not None


def test_honest_copying_is_accepted_like_a_loop_and_is_none() -> None:
    """98 % of the drafts accepted, the text never repeats itself."""
    copying = (3,) * 16 + (2,)
    for baselines in (BASELINES, {}):
        panel = DefaultPanel(baselines=baselines)
        assert first_verdict(panel, stream(PROSE + "\n" + CODE, accepted=copying, ids=True)) is None


def test_a_loop_is_found_with_and_without_acceptance() -> None:
    text = PROSE[:400] + " and so the boats went out to sea again" * 40
    fast = first_verdict(DefaultPanel(baselines=BASELINES), stream(text, accepted=(3,)))
    plain = first_verdict(
        DefaultPanel(), (Observation(text=text[at : at + 5]) for at in range(0, len(text), 5))
    )
    for verdict in (fast, plain):
        assert verdict is not None
        assert verdict.kind is AnomalyKind.REPETITION
        assert verdict.alarm_token <= 100 + 64 + 30


def test_the_published_panel_is_the_published_rule() -> None:
    panel = published_panel()
    tokens = 0
    verdict = None
    for seen in stream(soup(400), accepted=(0,)):
        tokens += seen.new_tokens or 0
        verdict = panel.update(seen)
        if verdict is not None:
            break
    assert verdict is not None
    assert (verdict.detector, verdict.alarm_token) == ("accept_length", 129)


def test_watching_is_any_detectors_watching() -> None:
    panel = published_panel()
    assert not panel.is_watching
    for _ in range(40):
        panel.update(GARBLED_STEP)
    assert panel.is_watching


@pytest.mark.parametrize("baselines", [BASELINES, {}], ids=["baseline", "none"])
def test_a_panel_goes_when_its_stream_goes(baselines: ByDrafts) -> None:
    """Thousands of streams a minute: none may wait for the garbage collector."""
    panel = DefaultPanel(baselines=baselines)
    first_verdict(panel, stream(PROSE))
    gc.collect()
    del panel
    assert gc.collect() == 0
