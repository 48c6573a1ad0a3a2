"""Characters that no healthy text has, each kind by itself."""

# ruff: noqa: RUF001  # letters of other scripts are what is tested

import pytest

from detectors.verdict import AnomalyKind
from tests.detectors.text.texts import OTHERS, PROSE, first_verdict, long

PIECES = {
    "replacement": "word \ufffd\ufffd\ufffd and ",
    "c1 controls": "\x83\x83 and ",
    "backspaces": "the\x08\x08\x08 ",
    "private use": "\ue123\ue124 to ",
    "unassigned": "\u0378\u0379 of ",
    "scripts in words": "the \u0448aг of ",
    "mojibake": "cafÃ© naÃ¯ve â€œquotedâ€\x9d ",
    "undecoded bytes": "theĠboatsĠcameĠback ",
    "foreign marks": "boats，women、and，men。they ",
    "stacks": "Z\u0351\u036b\u0343a\u0351\u036b\u0343lgo\u0351\u036b\u0343 ",
}


@pytest.mark.parametrize("name", PIECES)
def test_each_kind_is_found_within_64_tokens(name: str) -> None:
    verdict = first_verdict(PROSE + long(PIECES[name], 600))
    onset = len(PROSE) // 4
    assert verdict is not None
    assert verdict.kind is AnomalyKind.RARE_CHAR
    assert verdict.alarm_token <= onset + 64
    assert abs(verdict.onset_token - onset) <= 20
    assert verdict.reason.startswith("about ")


@pytest.mark.parametrize("name", PIECES)
def test_one_of_each_in_a_long_text_is_no_finding(name: str) -> None:
    assert first_verdict(PROSE + PIECES[name] + PROSE) is None


def test_an_emoji_split_over_two_chunks_is_no_finding() -> None:
    """A streaming detokenizer shows incomplete bytes for a moment."""
    assert first_verdict((PROSE + "\ufffd\ufffd\ufffd ") * 4) is None


def test_chinese_words_in_english_reasoning_are_healthy() -> None:
    text = PROSE[:200] + "So 港口 means harbour, and 码头 is the quay. " + PROSE[200:400]
    assert first_verdict(text * 5) is None


def test_a_language_sampler_is_healthy() -> None:
    lines = "\n".join(text[:60] for text in OTHERS.values())
    assert first_verdict(long(lines + "\n", 3000)) is None


def test_french_quotes_and_accents_are_no_mojibake() -> None:
    text = "Le café est fermé « à midi » ; l'été passé, il était déjà là, près du château. "
    assert first_verdict(long(text)) is None


def test_coloured_terminal_output_is_healthy() -> None:
    assert first_verdict(long("\x1b[32mPASS\x1b[0m tests/test_harbour.py (3 of 12)\n")) is None
