"""Streamed answers, whole and broken, cut into pieces anywhere."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as some

from monitor.traffic.answer_reader import AnswerReader, read_sanitizer
from monitor.traffic.outcome import Failure, Sanitizer

CHAT = (
    b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
    b'data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
    b'data: {"choices":[{"delta":{"content":" you"},"finish_reason":"stop"}]}\n\n'
    b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}\n\n'
    b": specwatch verdict=garbled attempts=3\n\n"
    b"data: [DONE]\n\n"
)
NATIVE = (
    b'data: {"text":"","meta_info":{"finish_reason":null}}\n\n'
    b'data: {"text":"a","meta_info":{"finish_reason":null,"completion_tokens":1}}\n\n'
    b'data: {"text":"a b","meta_info":{"finish_reason":{"type":"length"},"prompt_tokens":5,'
    b'"completion_tokens":2,"kv_sanitizer":{"foreign":2,"stale":0,"unready":1,"writers":["r7"]}}}'
    b"\n\ndata: [DONE]\n\n"
)


def read(*pieces: bytes, headers: dict[str, str] | None = None) -> AnswerReader:
    """One piece a second, from second 1."""
    reader = AnswerReader(headers or {})
    for second, piece in enumerate(pieces, start=1):
        reader.feed(piece, float(second))
    reader.finish()
    return reader


def test_a_chat() -> None:
    """The role alone is no token; a finding comes as a comment."""
    reader = read(*(event + b"\n\n" for event in CHAT.split(b"\n\n")[:-1]))
    assert (reader.first_token_at, reader.last_token_at) == (2.0, 4.0)
    assert (reader.prompt_tokens, reader.completion_tokens) == (9, 4)
    assert (reader.failure, reader.verdict, reader.attempts) == (None, "garbled", 3)


def test_the_engine_s_own_record() -> None:
    reader = read(NATIVE)
    assert reader.sanitizer == Sanitizer(foreign=2, unready=1, writers=("r7",))
    assert reader.sanitizer.causes == ("foreign", "unready")
    assert (reader.prompt_tokens, reader.completion_tokens, reader.failure) == (5, 2, None)


@given(cuts=some.lists(some.integers(0, len(CHAT)), max_size=6), crlf=some.booleans())
def test_pieces_may_be_cut_anywhere(cuts: list[int], crlf: bool) -> None:
    """Also between the two characters of a line break."""
    content = CHAT.replace(b"\n", b"\r\n") if crlf else CHAT
    edges = [0, *sorted(cuts), len(content)]
    pieces = [content[a:b] for a, b in itertools.pairwise(edges)]
    reader = read(*pieces)
    assert (reader.completion_tokens, reader.verdict, reader.failure) == (4, "garbled", None)


def test_headers_tell_what_was_known_when_the_head_was_sent() -> None:
    headers = {"x-specwatch-verdict": "repetition", "x-specwatch-attempts": "2"}
    reader = read(NATIVE, headers=headers)
    assert (reader.verdict, reader.attempts) == ("repetition", 2)
    pending = {"x-specwatch-verdict": "pending", "x-specwatch-attempts": "1"}
    assert read(NATIVE, headers=pending).verdict is None


def test_a_header_that_is_no_verdict_is_not_taken() -> None:
    """Whoever answers may write what he likes."""
    headers = {"x-specwatch-verdict": "A user's text", "x-specwatch-attempts": "many"}
    reader = read(NATIVE, headers=headers)
    assert (reader.verdict, reader.attempts) == (None, None)


@pytest.mark.parametrize(
    ("content", "failure"),
    [
        (b"", Failure.CUT),
        (CHAT[:150], Failure.CUT),
        (b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n', Failure.CUT),
        (b'data: {"error":{"message":"x"}}\n\n', Failure.IN_BAND),
        (NATIVE.replace(b'"length"', b'"abort"'), Failure.IN_BAND),
        (b"data: nonsense\n\n", Failure.MALFORMED),
        (b"data: [1]\n\n", Failure.MALFORMED),
        (b"<html>502 Bad Gateway</html>", Failure.CUT),
    ],
)
def test_broken_streams(content: bytes, failure: Failure) -> None:
    assert read(content).failure is failure


def test_odd_numbers_are_no_counts() -> None:
    odd = b'data: {"text":"a","meta_info":{"finish_reason":"stop","prompt_tokens":"9",'
    odd += b'"completion_tokens":true,"kv_sanitizer":{"foreign":"x","writers":5}}}\n\n'
    reader = read(odd)
    assert (reader.prompt_tokens, reader.completion_tokens) == (None, None)
    assert reader.sanitizer == Sanitizer()


def test_the_integrated_engines_own_record() -> None:
    """It names its writers as objects, and tokens from cache that was itself computed wrongly."""
    told = {"foreign": 0, "derived": 3, "writers": [{"rid": "r7", "by": "transfer"}]}
    assert read_sanitizer(told) == Sanitizer(derived=3, writers=("transfer",))
    assert read_sanitizer(told).causes == ("derived",)
