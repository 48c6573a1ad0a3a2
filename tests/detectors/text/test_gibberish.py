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


class Drafts:
    """A witness that vouches until it is told otherwise."""

    vouches = True


def _seen(detector: Gibberish, text: str, tokens: int) -> int | None:
    """Tokens into ``text`` at which there is a verdict, four characters a token."""
    for count in range(1, len(text) // 4 + 1):
        piece = text[4 * count - 4 : 4 * count]
        if detector.update(Observation(text=piece, new_tokens=1), tokens + count) is not None:
            return count
    return None


def test_odd_text_that_the_drafts_vouch_for_is_the_models_own() -> None:
    detector = Gibberish(witness=Drafts())
    assert _seen(detector, PROSE + soup(4000), 0) is None
    assert not detector.is_watching


def test_what_waited_is_read_once_the_drafts_no_longer_vouch() -> None:
    """Soup of 240 characters that nobody read is known at the next word."""
    drafts = Drafts()
    detector = Gibberish(witness=drafts)
    healthy, damaged = long(PROSE, 4096)[:4096], soup(1600)
    assert _seen(detector, healthy + damaged[:240], 0) is None
    drafts.vouches = False
    late = _seen(detector, damaged[240:], (4096 + 240) // 4)
    at_once = _seen_without_witness(healthy, damaged)
    assert late is not None
    assert late + 240 // 4 <= at_once + 16


def _seen_without_witness(healthy: str, damaged: str) -> int:
    detector = Gibberish()
    assert _seen(detector, healthy, 0) is None
    found = _seen(detector, damaged, len(healthy) // 4)
    assert found is not None
    return found


def test_healthy_text_stays_healthy_however_often_the_drafts_waver() -> None:
    drafts = Drafts()
    detector = Gibberish(witness=drafts)
    text = long(PROSE, 8000)
    for at in range(0, len(text), 100):
        drafts.vouches = at % 700 != 0
        assert _seen(detector, text[at : at + 100], at // 4) is None
