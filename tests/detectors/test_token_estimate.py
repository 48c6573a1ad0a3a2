"""The estimate of tokens: additive however the text is cut, and about right."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.token_estimate import TokenEstimate, cut, estimate_tokens

TEXTS = st.text(
    alphabet=st.one_of(
        st.sampled_from("abcXYZ019 ., \n\r\t_-'\"(){}é"),
        st.characters(codec="utf-8"),
    ),
    max_size=200,
)


@given(TEXTS)
def test_the_pieces_are_the_text(text: str) -> None:
    """Nothing is lost, nothing is counted twice."""
    assert "".join(cut(text)) == text


@given(TEXTS, st.lists(st.integers(0, 200), max_size=12))
def test_any_chunking_gives_the_same_sum(text: str, places: list[int]) -> None:
    """Also one character at a time, or with empty chunks."""
    whole, chunked = TokenEstimate(), TokenEstimate()
    whole.push(text)
    edges = [0, *sorted(min(place, len(text)) for place in places), len(text)]
    total = sum(chunked.push(text[start:end]) for start, end in itertools.pairwise(edges))
    assert total == chunked.tokens
    assert abs(chunked.tokens - whole.tokens) <= 1
    assert whole.tokens == int(estimate_tokens(text))


@pytest.mark.parametrize(
    ("text", "qwen_tokens", "tolerance"),
    [
        ("The quick brown fox jumps over the lazy dog, and then it sleeps.", 15, 0.1),
        ("def add(left: int, right: int) -> int:\n    return left + right\n", 19, 0.1),
        ("2026-11-24", 10, 0.1),
        ("今天天气很好我们去公园散步", 7, 0.5),  # long texts are closer
    ],
)
def test_close_to_a_real_tokenizer(text: str, qwen_tokens: int, tolerance: float) -> None:
    """Even on one line."""
    assert estimate_tokens(text) == pytest.approx(qwen_tokens, rel=tolerance)


def test_a_long_run_costs_no_more_than_its_length() -> None:
    """A run that never ends is not kept: the tail stays short."""
    estimate = TokenEstimate()
    for _ in range(2_000):
        estimate.push("é" * 8)
        estimate.push(" " * 8)
    assert estimate.tokens > 0
    assert len(estimate._tail) <= 64


def test_lone_surrogates_are_text_too() -> None:
    """A broken server may send them."""
    assert TokenEstimate().push("\ud800 broken") >= 1
