"""The periodicity check finds exact cycles and nothing else, in constant memory."""

import random

import pytest

from detectors.repetition import RepetitionCheck, text_repetition, token_repetition


def push_all(check: RepetitionCheck, symbols: list[int]) -> int | None:
    """Index of the symbol after which the tail is periodic."""
    for index, symbol in enumerate(symbols):
        check.push(symbol)
        if check.is_periodic:
            return index
    return None


@pytest.mark.parametrize("period", [1, 2, 7, 31, 200, 900])
def test_a_cycle_is_found_once_it_has_three_copies_and_spans_enough(period: int) -> None:
    check = token_repetition()
    found_at = push_all(check, list(range(10_000, 10_050)) + list(range(period)) * 40)
    assert found_at is not None
    assert found_at + 1 == 50 + max(32, 3 * period)
    assert check.start == 50 + period


def test_random_tokens_are_no_cycle() -> None:
    source = random.Random(5)
    assert push_all(token_repetition(), [source.randrange(500) for _ in range(5_000)]) is None


def test_a_cycle_that_ended_is_over() -> None:
    check = token_repetition()
    push_all(check, [1, 2, 3] * 20)
    check.push(99)
    assert not check.is_periodic
    assert check.start is None


def test_prose_with_a_refrain_is_no_cycle() -> None:
    text = "".join(f"Verse {n}: something new {n * n}. And the refrain again. " for n in range(30))
    assert push_all(text_repetition(), [ord(character) for character in text]) is None


def test_memory_is_bounded() -> None:
    check = RepetitionCheck(ngram=4, window=64, min_span=16, min_copies=3)
    push_all(check, list(range(5_000)))
    assert len(check._last_seen) <= 64
