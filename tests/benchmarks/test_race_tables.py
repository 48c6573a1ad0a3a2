"""The tables of the races' benchmark: pairs make ratios, silent corruption stands in the share."""

import json

from benchmarks.race_tables import Pace, price_row, share_rows

LOOP = " the same again" * 40


def line(fault: str, onset: int | None, text: str) -> str:
    """A recorded answer of one token a word."""
    words = text.split(" ")[1:]
    return json.dumps(
        {
            "id": f"{fault}-{len(text)}",
            "model": "none",
            "fault": fault,
            "onset_token": onset,
            "text": text,
            "chars_per_event": [len(word) + 1 for word in words],
            "token_ids": [hash(word) % 1000 for word in words],
            "tokens_per_event": [1] * len(words),
        }
    )


def test_ratios_are_those_of_the_rounds() -> None:
    """Not of the medians: rounds differ more from each other than cells do."""
    shipped = [Pace(100.0, 0.1), Pace(200.0, 0.4), Pace(400.0, 0.2)]
    cured = [Pace(99.0, 0.1), Pace(202.0, 0.2), Pace(392.0, 0.3)]
    assert price_row("heavy", shipped, cured) == [
        *("heavy", "200", "202", "0.990 (0.980 to 1.010)"),
        *("200", "200", "1.000 (0.500 to 1.500)"),
    ]


def test_silent_leaks_are_in_the_table() -> None:
    sound = " one of many quite ordinary answers about the weather in spring"
    rows = share_rows(
        [
            line("foreign", 2, sound),
            line("foreign", 1, LOOP),
            line("none", None, sound),
        ]
    )
    assert [row[:3] for row in rows] == [["foreign", "2", "1"], ["nothing is wrong", "1", "0"]]
    assert rows[0][3].startswith("50.0% (1.3% to 98.7%)")
    assert "repetition" in rows[0][6]
    assert rows[1][6] == "none"
