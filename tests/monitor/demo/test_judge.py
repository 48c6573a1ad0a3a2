"""Answers are judged by the engines' record of the damage, not by the detectors."""

import dataclasses

import pytest

from monitor.demo.judge import (
    Answer,
    Attempt,
    Damage,
    Score,
    ended_on_damage,
    is_success,
    leaked_tokens,
    score,
    tokens_to_detection,
)


def attempt(rid: str = "a01", outcome: str = "completed", **changes: int | None) -> Attempt:
    """200 tokens, all released."""
    whole = Attempt(rid, outcome, completion_tokens=200, released_tokens=200)
    return dataclasses.replace(whole, **changes)  # type: ignore[arg-type]


def answer(*attempts: Attempt, is_full: bool = True, delay: float = 0.0) -> Answer:
    """One answer."""
    return Answer(is_full, seconds=1.0, attempts=attempts, added_delay_seconds=delay)


def damaged(rid: str, from_token: int = 50, tokens: int = 200) -> dict[str, Damage]:
    """A record of one damaged generation."""
    return {rid: Damage(rid, "noise", from_token, tokens)}


def test_the_last_attempt_decides() -> None:
    """A damaged first attempt that was done again is no damaged answer."""
    retried = answer(attempt("a01", "anomaly"), attempt("a02"))
    assert not ended_on_damage(retried, damaged("a01"))
    assert ended_on_damage(retried, damaged("a02"))


@pytest.mark.parametrize(("tokens", "expected"), [(49, False), (50, False), (51, True)])
def test_damage_after_the_last_token_hurt_nobody(tokens: int, expected: bool) -> None:
    """The record's index is that of the first damaged token."""
    assert ended_on_damage(answer(attempt("a01")), damaged("a01", 50, tokens)) is expected


@pytest.mark.parametrize(("released", "expected"), [(0, 0), (50, 0), (51, 1), (200, 150)])
def test_leaked_tokens(released: int, expected: int) -> None:
    """Damaged tokens that a client got."""
    assert leaked_tokens(attempt("a01", released_tokens=released), damaged("a01")) == expected
    assert leaked_tokens(attempt("b01", released_tokens=released), damaged("a01")) == 0


def test_tokens_to_detection_count_from_the_true_onset() -> None:
    """Not from the detector's own estimate."""
    alarmed = attempt("a01", "anomaly", alarm_token=130)
    assert tokens_to_detection(alarmed, damaged("a01")) == 80
    assert tokens_to_detection(alarmed, {}) is None
    assert tokens_to_detection(attempt("a01"), damaged("a01")) is None


def test_score_of_a_protected_phase() -> None:
    """Two damaged attempts stopped, one of them twice; one healthy attempt stopped by mistake."""
    answers = [
        answer(attempt("a01")),
        answer(
            attempt("b01", "anomaly", alarm_token=130, released_tokens=60, wasted_tokens=70),
            attempt("b02"),
            delay=2.0,
        ),
        answer(
            attempt("c01", "anomaly", alarm_token=150, released_tokens=40, wasted_tokens=110),
            attempt("c02"),
            delay=4.0,
        ),
        answer(attempt("d01", "anomaly", alarm_token=129), attempt("d02"), delay=1.0),
    ]
    result = score(answers, damaged("b01") | damaged("c01"), seconds=9.0)
    assert result == Score(
        requests=4,
        full_answers=4,
        answers_ended_on_damage=0,
        attempts=7,
        damaged_attempts=2,
        aborts=3,
        needless_aborts=1,
        retries=3,
        leaked_tokens=10,
        wasted_tokens=180,
        median_tokens_to_detection=90,
        median_added_delay_seconds=2.0,
        longest_added_delay_seconds=4.0,
        seconds=9.0,
    )
    assert is_success(result)


def test_score_without_anything_to_measure() -> None:
    """Absence is no zero."""
    result = score([answer(attempt())], {}, seconds=1.0)
    assert result.median_tokens_to_detection is None
    assert result.median_added_delay_seconds is None


@pytest.mark.parametrize(
    ("answers", "damages"),
    [
        ([], {}),
        ([answer(attempt("a01"))], damaged("a01")),
        ([answer(attempt("a01"), is_full=False)], {}),
        ([answer(attempt("a01")), answer(is_full=False)], {}),
    ],
    ids=["nothing was asked", "ended on damage", "not full", "no attempt"],
)
def test_no_success(answers: list[Answer], damages: dict[str, Damage]) -> None:
    """Whatever is not proven good is not good."""
    assert not is_success(score(answers, damages, 1.0))
