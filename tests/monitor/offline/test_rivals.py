"""The rules of others fire where their description says."""

from collections.abc import Callable

import pytest

from detectors.detector import Detector
from detectors.observation import Observation
from detectors.verdict import Verdict
from monitor.offline.rivals import (
    RIVALS,
    CharacterSetRule,
    CompressionRule,
    ExactCycleRule,
    RegexRule,
)

PROSE = (
    "The harbour wakes before the town does. Boats leave in the dark, one lamp each, and by the "
    "time bread is sold on the square the first of them return with silver in their nets. Nobody "
    "counts the years here; people count winters, storms and weddings, and argue about the order. "
)


def first_verdict(rule: Detector, text: str, size: int = 1) -> tuple[int, Verdict] | None:
    """The verdict and the characters that were out, streamed ``size`` at a time."""
    for end in range(size, len(text) + size, size):
        verdict = rule.update(Observation(text=text[end - size : end]), end)
        if verdict is not None:
            return end, verdict
    return None


def fed_ids(rule: Detector, ids: list[int]) -> int | None:
    """Number of ids after which it fires."""
    for count, token_id in enumerate(ids, start=1):
        if rule.update(Observation(new_tokens=1, token_ids=(token_id,)), count) is not None:
            return count
    return None


@pytest.mark.parametrize("make", RIVALS)
def test_prose_is_silent_and_names_are_distinct(make: Callable[[], Detector]) -> None:
    """And nothing is held back."""
    rule = make()
    assert first_verdict(rule, PROSE) is None
    assert not rule.is_watching
    assert len({rival().name for rival in RIVALS}) == len(RIVALS)


@pytest.mark.parametrize("make", RIVALS)
def test_missing_fields_are_fine(make: Callable[[], Detector]) -> None:
    """An observation may be empty."""
    assert make().update(Observation(), 0) is None


def test_a_cycle_fires_with_the_last_token_of_its_fourth_copy() -> None:
    """Not one before."""
    assert fed_ids(ExactCycleRule(1, 64), [9, 8, 7, *[1, 2, 3] * 5]) == 3 + 4 * 3
    assert fed_ids(ExactCycleRule(1, 64), [9, 8, 7, 7, 7]) is None
    assert fed_ids(ExactCycleRule(1, 64), [9, 8, 7, 7, 7, 7]) == 6
    assert fed_ids(ExactCycleRule(4, 64), [9, *range(64), *range(64), *range(64), *range(64)]) == (
        1 + 4 * 64
    )
    assert fed_ids(ExactCycleRule(4, 64), [*range(65)] * 8) is None  # the period is too long


def test_the_shortest_pattern_is_kept_to() -> None:
    """Four equal tokens are a pattern of one; sixteen are four of four."""
    assert fed_ids(ExactCycleRule(4, 64), [5] * 40) == 16


def test_a_cycle_of_text_is_found_by_its_pieces() -> None:
    """Once the fourth copy is over, as the last piece might still grow."""
    found = first_verdict(ExactCycleRule(1, 64), "intro. " + " the cat sat" * 9, size=3)
    assert found is not None
    assert found[0] <= len("intro. ") + 12 * 5 + 3


def test_regex_finds_the_runs_it_names() -> None:
    """A character 20 times, a word 10 times, replacement characters, control codes."""
    for bad in ("!" * 20, "very " * 10, "a \ufffd b \ufffd c \ufffd", "bell \x07"):
        text = PROSE + bad + " " * 32
        found = first_verdict(RegexRule(), text)
        assert found is not None, bad
        assert len(PROSE) < found[0] <= len(PROSE) + len(bad) + 32
    assert first_verdict(RegexRule(), PROSE + "!" * 19 + " " * 64) is None


def test_characters_beyond_ascii_are_counted_in_a_window() -> None:
    """More than three in ten of 256."""
    assert first_verdict(CharacterSetRule(), PROSE + "я" * 200) is not None
    assert first_verdict(CharacterSetRule(), ("яяя" + "abcdefg ") * 60) is None


def test_compression_finds_repeated_text_and_the_window_finds_it_late() -> None:
    """The whole text forgets the end slowly."""
    loop = "I will do it again. " * 40
    assert first_verdict(CompressionRule(), loop) is not None
    healthy = "".join(f"{number * 7919 % 10007:x} " for number in range(2_000))
    windowed = first_verdict(CompressionRule(window=1000), healthy + loop * 3)
    whole = first_verdict(CompressionRule(), healthy + loop * 3)
    assert windowed is not None
    assert whole is None or whole[0] > windowed[0]


@pytest.mark.parametrize("make", RIVALS)
@pytest.mark.parametrize("size", [2, 7, 50, 5_000])
def test_chunks_do_not_change_the_finding(make: Callable[[], Detector], size: int) -> None:
    """Kind and score are the same; only the place may be a chunk later."""
    text = PROSE + "\ufffd no no" * 300
    singles, chunked = first_verdict(make(), text), first_verdict(make(), text, size)
    assert (singles is None) == (chunked is None)
    if singles is not None and chunked is not None:
        assert (chunked[1].kind, chunked[1].score) == (singles[1].kind, singles[1].score)
        assert 0 <= chunked[0] - singles[0] < size
