"""What the text detector says, and what it must not say."""

import random
from collections.abc import Callable

import pytest

from detectors.observation import Observation
from detectors.text.gibberish import Gibberish
from detectors.verdict import AnomalyKind
from monitor.training.made_text import MAKERS
from tests.detectors.text.texts import OTHERS, PROSE, first_verdict, long, observations, soup


def test_prose_is_healthy() -> None:
    assert first_verdict(long(PROSE, 6000)) is None


@pytest.mark.parametrize("name", OTHERS)
def test_other_languages_code_emoji_and_formulas_are_healthy(name: str) -> None:
    assert first_verdict(long(OTHERS[name])) is None


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_odd_but_healthy_text_is_silent(
    maker: Callable[[random.Random], str],
) -> None:
    """Hexadecimal, base64, DNA, tables, logs, chess, drawings."""
    assert [first_verdict(maker(random.Random(seed))) for seed in range(6)] == [None] * 6


def test_soup_after_prose_is_found_and_dated() -> None:
    """Four characters a token: the alarm within 96 tokens, the onset dated to within 24."""
    verdict = first_verdict(PROSE * 2 + soup(1600))
    onset = len(PROSE * 2) // 4
    assert verdict is not None
    assert verdict.kind is AnomalyKind.GARBLED
    assert onset < verdict.alarm_token <= onset + 96
    assert abs(verdict.onset_token - onset) <= 24
    assert "word soup" in verdict.reason


@pytest.mark.parametrize("seed", range(5))
def test_soup_from_the_first_token_is_found(seed: int) -> None:
    verdict = first_verdict(soup(1600, seed))
    assert verdict is not None
    assert verdict.alarm_token <= 192


@pytest.mark.parametrize("size", [1, 3, 7, 64, 5000])
def test_any_chunking_gives_the_same_verdict(size: int) -> None:
    text = PROSE + soup(1600)
    whole, cut = first_verdict(text, len(text)), first_verdict(text, size)
    assert whole is not None
    assert cut is not None
    assert (cut.kind, cut.score) == (whole.kind, whole.score)
    assert cut.reason.split(" since ")[0] == whole.reason.split(" since ")[0]
    assert abs(cut.onset_token - whole.onset_token) <= size // 4 + 2


def test_scores_do_not_depend_on_the_chunks() -> None:
    text = PROSE + OTHERS["russian"] + soup(300) + PROSE
    seen = set()
    for size in (1, 5, 4000):
        detector = Gibberish()
        tokens = 0
        for observation in observations(text, size):
            tokens += observation.new_tokens or 0
            detector.update(observation, tokens)
        seen.add((detector.surprise, detector.rare_score, detector.chain_score))
    assert len(seen) == 1


def test_weak_evidence_comes_no_later_than_the_alarm() -> None:
    detector = Gibberish()
    tokens = weak = alarm = 0
    for observation in observations(PROSE * 2 + soup(1600)):
        tokens += observation.new_tokens or 0
        verdict = detector.update(observation, tokens)
        weak = weak or (tokens if detector.corroborates() else 0)
        alarm = alarm or (tokens if verdict else 0)
    assert 0 < weak <= alarm


def test_healthy_prose_corroborates_nothing_and_is_not_watched() -> None:
    detector = Gibberish()
    for tokens, observation in enumerate(observations(long(PROSE, 4000)), 1):
        detector.update(observation, tokens)
        assert not detector.is_watching
    assert detector.surprise < 0
    assert not detector.corroborates()


def test_recovers_after_the_soup() -> None:
    """Evidence belongs to a window: a stream that recovered is not suspected for ever."""
    detector = Gibberish()
    for tokens, observation in enumerate(observations(PROSE + soup(600) + long(PROSE, 3000)), 1):
        detector.update(observation, tokens)
    assert detector.surprise < 0


def test_missing_fields_and_empty_chunks_are_fine() -> None:
    detector = Gibberish()
    for tokens in range(50):
        assert detector.update(Observation(), tokens) is None
    assert detector.token_rank == 0.0


def test_rare_token_ids_surge() -> None:
    detector = Gibberish()
    tokens = 0
    for observation in observations(PROSE * 3):
        tokens += 1
        observation.token_ids = (tokens % 500 + 1,)
        detector.update(observation, tokens)
    calm = detector.token_rank
    for observation in observations(PROSE[:200]):
        tokens += 1
        observation.token_ids = (40_000 + tokens % 500,)
        detector.update(observation, tokens)
    assert abs(calm) < 1.5
    assert detector.token_rank > calm + 2


def test_no_answer_text_in_a_reason() -> None:
    verdict = first_verdict(PROSE + soup(1600))
    assert verdict is not None
    assert not any(word in verdict.reason for word in ("harbour", "Hafen", "yellow"))
