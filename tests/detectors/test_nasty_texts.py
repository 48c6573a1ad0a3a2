"""No text makes the panel slow: time per token, over texts that catch careless patterns."""

import random
import time

import pytest

from detectors.observation import Observation
from detectors.panels import DefaultPanel

CHARACTERS = 100_000
CHARACTERS_PER_TOKEN = 4
MAX_SECONDS_PER_TOKEN = 0.001
RANDOM = random.Random(7)


def filled(unit: str) -> str:
    return (unit * (CHARACTERS // len(unit) + 1))[:CHARACTERS]


NASTY = {
    "one character": filled("a"),
    "blanks": filled(" "),
    "line ends": filled("\n"),
    "alternating quotes": filled("\"'"),
    "opening brackets": filled("([{<"),
    "backslashes": filled("\\"),
    "a nearly": filled("a" * 4999 + "!"),
    "word after word the same": filled("again "),
    "a long period": filled("".join(RANDOM.choices("abcdefghij ", k=8000))),
    "no blank": "".join(RANDOM.choices("abcdefghijklmnopqrstuvwxyz", k=CHARACTERS)),
    "digits": "".join(RANDOM.choices("0123456789", k=CHARACTERS)),
    "combining marks": "e" + filled("\u0301\u0323\u0308"),
    "zero width": filled("\u200b\u200d\ufeff"),
    "right to left marks": filled("\u202e\u202d"),
    "emoji joined": filled("\U0001f469\u200d\U0001f4bb"),
    "scripts mixed": "".join(
        RANDOM.choices("a\u0431\u03b3\u0917\u3042\u6f22\u0639\ud55c ", k=CHARACTERS)
    ),
    "any character": "".join(chr(RANDOM.randrange(32, 0xD800)) for _ in range(CHARACTERS)),
    "replacement characters": filled("\ufffd"),
    "nulls": filled("\0"),
    "rules of a table": filled("|---" * 20 + "\n"),
    "dots": filled(". " * 50 + "\n"),
}


@pytest.mark.parametrize(
    ("length", "characters"),
    [(CHARACTERS // 5, CHARACTERS_PER_TOKEN), (CHARACTERS // 5, 997), (CHARACTERS, CHARACTERS)],
)
@pytest.mark.parametrize("name", NASTY)
def test_the_whole_panel_takes_under_a_millisecond_a_token(
    name: str, length: int, characters: int
) -> None:
    """Token by token, in large events, and as one."""
    panel, text = DefaultPanel(), NASTY[name][:length]
    events = [
        Observation(text=text[start : start + characters])
        for start in range(0, len(text), characters)
    ]
    began = time.process_time()
    for event in events:
        panel.update(event)
    seconds = time.process_time() - began
    assert panel.crashed == []
    assert seconds / (len(text) / CHARACTERS_PER_TOKEN) < MAX_SECONDS_PER_TOKEN


@pytest.mark.parametrize("name", NASTY)
def test_late_tokens_cost_no_more_than_early_ones(name: str) -> None:
    """Nothing is looked at again and again as the answer grows."""
    panel, text, quarter = DefaultPanel(), NASTY[name], CHARACTERS // 20
    took = []
    for begin in (0, quarter, 2 * quarter, 3 * quarter):
        began = time.process_time()
        for start in range(begin, begin + quarter, CHARACTERS_PER_TOKEN):
            panel.update(Observation(text=text[start : start + CHARACTERS_PER_TOKEN]))
        took.append(time.process_time() - began)
    assert took[-1] < 5 * took[0] + 0.5
