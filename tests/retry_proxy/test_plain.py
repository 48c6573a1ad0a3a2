"""Events that are read by comparison with an earlier one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retry_proxy.stream.plain import PlainEvents


def event(text: str, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    body = {"id": "a", "choices": [choice], **more}
    return b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def taught(text: str = " word") -> PlainEvents:
    plain = PlainEvents()
    plain.learn(event(text), text)
    assert plain.is_known
    return plain


@given(st.text(min_size=1))
def test_any_text_is_read_as_json_reads_it(text: str) -> None:
    if any(0xD800 <= ord(letter) < 0xE000 for letter in text):
        return
    assert taught().text_of(event(text)) == text
    escaped = b"data: " + json.dumps(json.loads(event(text)[6:])).encode() + b"\n\n"
    assert taught().text_of(escaped) in {text, None}


@pytest.mark.parametrize(
    "data",
    [
        event("a", usage={"completion_tokens": 3}),
        event("a").replace(b'"id": "a"', b'"id": "b"'),
        event("a").replace(b"null", b'"stop"'),
        event("a").replace(b'"index": 0', b'"index": 1'),
        event("a") + event("b"),
        event("a")[:-1],
        event("a")[1:],
        event('a"')[:-40] + b'", "content": "b' + event("x")[-40:],
        event(""),
        event("a").replace(b'"a"}', b'"a\n\nb"}'),
        event("a").replace(b'"a"}', b'"a\\u12"}'),
        event("a").replace(b'"a"}', b'"a\xff"}'),
        event("a").replace(b'"a"}', b'"a", "refusal": "b"}'),
        b"",
        b": keep-alive\n\n",
        b"data: [DONE]\n\n",
    ],
)
def test_anything_else_is_not_taken_for_one(data: bytes) -> None:
    assert taught().text_of(data) is None


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (event("a", model="a"), "a"),  # which of the two is the text?
        (event("é").replace("é".encode(), b"\\u00e9"), "é"),  # not as we would write it
        (event("a").replace(b"content", b"reasoning_content"), "a"),
        (event("a").replace(b"data: ", b"event: x\ndata: "), "a"),
        (event("a"), "b"),
    ],
)
def test_what_is_not_clear_teaches_nothing(raw: bytes, text: str) -> None:
    plain = PlainEvents()
    plain.learn(raw, text)
    assert not plain.is_known
    assert plain.text_of(raw) is None


def test_before_it_learned_nothing_is_known() -> None:
    assert PlainEvents().text_of(event("a")) is None
