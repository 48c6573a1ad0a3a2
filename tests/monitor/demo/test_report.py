"""The demo's tables, as text."""

import dataclasses

import pytest
from rich.console import Console, RenderableType

from monitor.demo.judge import Score, score
from monitor.demo.report import (
    Sample,
    number,
    results_table,
    sample_panels,
    sentence,
    shorten,
    where_next,
)

EMPTY = score([], {}, 1.0)
GOOD = dataclasses.replace(EMPTY, requests=30, full_answers=30)


def drawn(what: RenderableType) -> str:
    """As it looks on a terminal of 100 columns."""
    console = Console(width=100, record=True, file=None, color_system=None)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (None, "s", "-"),
        (0, "", "0"),
        (1234, "", "1,234"),
        (2.54, "s", "2.5 s"),
        (3.0, "s", "3 s"),
    ],
)
def test_numbers(value: float | None, unit: str, expected: str) -> None:
    """Short, with a dash for nothing."""
    assert number(value, unit) == expected


def test_table_has_all_that_was_asked_for() -> None:
    """Both phases side by side."""
    bad: Score = dataclasses.replace(GOOD, answers_ended_on_damage=11)
    text = drawn(results_table(bad, GOOD))
    for name in ("requests", "ended on damaged cache", "attempts", "aborts", "retries"):
        assert name in text
    for name in ("reached a client", "damage to alarm, median", "added delay"):
        assert name in text
    row = next(line for line in text.splitlines() if "ended on damaged cache" in line)
    assert "11" in row


def test_samples_are_shown_as_they_are() -> None:
    """Markup in the model's text is no markup of ours."""
    sample = Sample(
        "a01", "http://a", "garbled", "noise", 140, 1.04, "[red]the\x1b[31m cat\ncat[/red]"
    )
    text = drawn(sample_panels([sample]))
    assert "cache damage noise: garbled, stopped after 140 tokens, accept length 1.04" in text
    assert "[red]the�[31m cat cat[/red]" in text
    assert "healthy cache: garbled" in drawn(
        sample_panels([dataclasses.replace(sample, damage=None)])
    )
    assert "Nothing was stopped" in drawn(sample_panels([]))


def test_shorten() -> None:
    """One line of bounded length."""
    assert shorten("a\n\n b\t c") == "a b c"
    assert shorten("x" * 500, limit=10) == "x" * 9 + "…"


def test_the_sentence_is_honest() -> None:
    """Good only if all was good."""
    assert "none of them" in drawn(sentence(GOOD))
    assert "Not good" in drawn(sentence(dataclasses.replace(GOOD, full_answers=29)))


@pytest.mark.parametrize("is_kept", [True, False])
def test_where_next(is_kept: bool) -> None:
    """Addresses that can be pasted."""
    text = drawn(where_next("http://127.0.0.1:1", 7, ["specwatch_x 1.0"], is_kept))
    assert "http://127.0.0.1:1/page " in text
    assert "specwatch incidents --from http://127.0.0.1:1 " in text
    assert "7 incidents" in text
    assert "specwatch_x 1.0" in text
