"""The repetition detector: loops are found in time, honest repetition is not."""

import random
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.observation import Observation
from detectors.repetition import Repetition
from detectors.verdict import AnomalyKind, Verdict

WORDS = [
    first + second
    for first in ("ri", "sto", "quie", "mor", "win", "car", "har")
    for second in ("ver", "ne", "dow", "ning", "bour", "ry")
]


def prose(length: int, seed: int = 3) -> str:
    source = random.Random(seed)
    return " ".join(source.choice(WORDS) + source.choice("abcdefgh") for _ in range(length)) + "."


def tokens_at_random(length: int, seed: int = 5) -> list[int]:
    source = random.Random(seed)
    return [source.randrange(50_000) for _ in range(length)]


def feed_ids(
    detector: Repetition, token_ids: Sequence[int], sizes: Sequence[int] = (3,), text: str = ""
) -> Verdict | None:
    """Feeds the ids, ``text`` beside each; returns the first verdict."""
    at = turn = 0
    while at < len(token_ids):
        end = min(len(token_ids), at + sizes[turn % len(sizes)])
        chunk = tuple(token_ids[at:end])
        verdict = detector.update(Observation(text=text * len(chunk), token_ids=chunk), end)
        if verdict is not None:
            return verdict
        at, turn = end, turn + 1
    return None


def feed_text(
    detector: Repetition, text: str, sizes: Sequence[int] = (12,), token_length: float = 4.0
) -> Verdict | None:
    at = turn = 0
    while at < len(text):
        end = min(len(text), at + sizes[turn % len(sizes)])
        verdict = detector.update(Observation(text=text[at:end]), int(end / token_length))
        if verdict is not None:
            return verdict
        at, turn = end, turn + 1
    return None


@pytest.mark.parametrize("period", [1, 2, 3, 5, 8, 13, 34, 89, 200, 500, 1_200, 2_048])
def test_an_exact_loop_is_found_64_tokens_and_half_a_copy_after_its_first_copy(period: int) -> None:
    """Counted from the first token of the first copy, which is the onset."""
    onset = 50
    loop = tokens_at_random(period, seed=period)
    stream = tokens_at_random(onset) + (loop * (200 // period + 3))
    verdict = feed_ids(Repetition(), stream)
    assert verdict is not None
    assert verdict.kind is AnomalyKind.REPETITION
    assert verdict.detector == "repetition"
    assert verdict.alarm_token - onset <= 64 + 1.5 * period
    assert verdict.onset_token == onset
    assert verdict.evidence["period"] == period


@pytest.mark.parametrize(
    "unit", ["a", "abc", "!", "\n", " the", "I think that I am. ", "雪", "!? ", "Ha ", "<unk>"]
)
def test_a_loop_of_characters_is_found_in_text(unit: str) -> None:
    verdict = feed_text(Repetition(), prose(40) + unit * (900 // len(unit)))
    assert verdict is not None
    assert verdict.evidence["copies"] > 3


def test_a_loop_of_paragraphs_is_found_in_text_before_its_third_copy() -> None:
    start = prose(100, seed=1)
    paragraph = "\n" + prose(150, seed=2)
    verdict = feed_text(Repetition(), start + 3 * paragraph)
    assert verdict is not None
    onset = len(start) / 4
    assert abs(verdict.onset_token - onset) <= 12
    assert verdict.alarm_token - onset < 2 * len(paragraph) / 4


@pytest.mark.parametrize(
    "line",
    [
        "{n}. ",
        "Step {n}: pour the water into the bowl and wait until it has settled.\n",
        "{n}. The committee thanks all members for their continued support.\n",
    ],
)
def test_a_loop_with_a_counter_is_found_within_256_tokens(line: str) -> None:
    """The digits grow on the way: 96, 97, ... 100."""
    start = prose(60) + "\n"
    loop = "".join(line.format(n=number) for number in range(96, 260))
    verdict = feed_text(Repetition(), start + loop, token_length=3.5)
    assert verdict is not None
    assert 0 < verdict.alarm_token - len(start) / 3.5 <= 256
    assert "small changes" in verdict.reason


def test_a_loop_whose_copies_lose_a_token_now_and_then_is_found() -> None:
    source = random.Random(8)
    loop = tokens_at_random(24, seed=2)
    copies = [list(loop) for _ in range(12)]
    for copy in copies[::3]:
        copy[source.randrange(24)] = source.randrange(50_000)
    verdict = feed_ids(
        Repetition(), tokens_at_random(80) + [token_id for copy in copies for token_id in copy]
    )
    assert verdict is not None
    assert verdict.alarm_token - 80 <= 256


RHYME = [
    "lay in the house that Jack built.",
    "ate the malt",
    "killed the rat",
    "worried the cat",
    "tossed the dog",
    "milked the cow with the crumpled horn",
    "kissed the maiden all forlorn",
    "married the man all tattered and torn",
    "woke the priest all shaven and shorn",
    "kept the cock that crowed in the morn",
]

HONEST = {
    "prose": prose(1_500),
    "numbered list": "".join(f"{n}. {prose(6, seed=n)}\n" for n in range(60)),
    "table": "".join(f"| {n} | {prose(1, seed=n)} | {n * n % 97}.{n % 7} |\n" for n in range(80)),
    "numbers": ", ".join(str(n * n * 7919 % 100_003) for n in range(200)),
    "address pattern": r"\b" + r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\." * 4 + r"\b",
    "blank grid": ("+---+---+---+\n" + "|   |   |   |\n") * 9,
    "base64": "".join(random.Random(4).choices("ABCDEFabcdef0123456789+/", k=3_000)),
    "ruler": prose(30) + "\n" + "-" * 80 + "\n" + prose(30) + "\n" + "=" * 80 + "\n",
    "refrain": "".join(
        f"{prose(30, seed=n)}\nOh, the river runs and the river runs away.\n" for n in range(8)
    ),
    "cumulative rhyme": "\n\n".join(
        f"This is {RHYME[last]}" + "".join(f"\nThat {RHYME[n]}" for n in range(last - 1, -1, -1))
        for last in range(len(RHYME))
    ),
    "edited code": "def total(values):\n    result = {}\n    for key, value in values.items():\n"
    "        result[key] = value + 1\n    return result\n" + prose(12) + "\n"
    "def total(values):\n    result = {}\n    for key, value in values.items():\n"
    "        result[key] = value + 2\n    return result\n",
}


@pytest.mark.parametrize("kind", HONEST)
def test_honest_repetition_is_silent(kind: str) -> None:
    assert feed_text(Repetition(), HONEST[kind]) is None


@pytest.mark.parametrize("length", [40, 200])
def test_a_copy_from_the_first_word_on_waits_for_the_third(length: int) -> None:
    """An answer may start over once; prose that does it in the middle is looping."""
    paragraph = prose(length, seed=6) + "\n"
    assert feed_text(Repetition(), paragraph + paragraph[: len(paragraph) * 4 // 5]) is None
    assert feed_text(Repetition(), paragraph * 6) is not None


def test_random_tokens_are_silent_and_never_watched() -> None:
    detector = Repetition()
    for count, token_id in enumerate(tokens_at_random(6_000), start=1):
        assert detector.update(Observation(token_ids=(token_id,)), count) is None
        assert not detector.is_watching


def test_it_watches_before_it_alarms_and_stops_when_the_stream_recovers() -> None:
    detector = Repetition()
    loop = tokens_at_random(10, seed=1)
    assert feed_ids(detector, tokens_at_random(100) + loop * 5) is None
    assert detector.is_watching
    assert detector.period == 10
    assert detector.copies > 3
    assert detector.onset_token == 100
    assert detector.strength >= 0.5
    assert feed_ids(detector, tokens_at_random(200, seed=9)) is None
    assert not detector.is_watching
    assert detector.period is None
    assert detector.onset_token is None
    assert detector.strength < 0.2
    assert feed_ids(detector, loop * 12) is not None


def test_strength_grows_with_a_drifting_loop_over_few_words() -> None:
    source = random.Random(3)
    detector = Repetition()
    assert feed_ids(detector, tokens_at_random(300)) is None
    healthy = detector.strength
    feed_ids(detector, [source.choice((7, 99, 1_234, 40_000, 812)) for _ in range(200)])
    assert healthy < 0.1
    assert detector.strength > 0.7


@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5), period=st.integers(1, 60))
@settings(max_examples=25, deadline=None)
def test_any_chunking_of_token_ids_gives_the_same_verdict(sizes: list[int], period: int) -> None:
    stream = tokens_at_random(70) + tokens_at_random(period, seed=period) * (200 // period + 3)
    whole = feed_ids(Repetition(), stream, sizes=(len(stream),), text="w ")
    parts = feed_ids(Repetition(), stream, sizes=sizes, text="w ")
    assert whole is not None
    assert parts is not None
    assert (parts.score, parts.reason, parts.onset_token) == (
        whole.score,
        whole.reason,
        whole.onset_token,
    )


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), length=st.integers(1, 25))
@settings(max_examples=25, deadline=None)
def test_any_chunking_of_text_gives_the_same_verdict(sizes: list[int], length: int) -> None:
    text = prose(50) + (" " + prose(length, seed=length)) * (220 // length + 3)
    whole = feed_text(Repetition(), text, sizes=(len(text),))
    parts = feed_text(Repetition(), text, sizes=sizes)
    assert whole is not None
    assert parts is not None
    assert (parts.score, parts.reason) == (whole.score, whole.reason)


def test_the_source_is_chosen_once() -> None:
    """Ids that come later do not mix with text, and text without ids does not pile up."""
    by_text = Repetition()
    by_text.update(Observation(text="Hello there, "), 3)
    assert feed_ids(by_text, [5] * 300, text="") is None
    by_ids = Repetition()
    by_ids.update(Observation(text="Hello", token_ids=(1,)), 1)
    assert feed_text(by_ids, "loop " * 500) is None
    assert deep_size(by_ids) < 600


def test_missing_fields_are_fine() -> None:
    detector = Repetition()
    for tokens in range(1, 100):
        assert detector.update(Observation(), tokens) is None
    assert detector.period is None
    assert detector.copies == 0.0
    assert detector.strength == 0.0


def deep_size(detector: Repetition) -> int:
    """Bytes of a detector: its objects, without what all processes share (small integers)."""
    total, open_ends = 0, [detector]
    while open_ends:
        item: object = open_ends.pop()
        if item is None or item == b"" or (isinstance(item, int) and -5 <= item <= 256):
            continue
        total += sys.getsizeof(item)
        if isinstance(item, tuple):
            open_ends.extend(item)
        open_ends.extend(getattr(item, slot) for slot in getattr(type(item), "__slots__", ()))
    return total


@pytest.mark.parametrize("is_text", [True, False])
def test_memory_is_bounded(is_text: bool) -> None:
    loop = tokens_at_random(700)
    detector = Repetition()
    for count in range(1, 4_200):
        token_id = loop[count % 700]
        ids = None if is_text else (token_id,)
        detector.update(Observation(text=f" word{token_id}", token_ids=ids), count)
    assert deep_size(detector) < 2_900
