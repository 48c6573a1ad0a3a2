"""Text is given out as soon as it is certain, each character once, whatever the steps' borders."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_backend.server.detokenize import MAX_PENDING, Detokenizer
from inference_backend.server.tokenizer import HubTokenizer
from tests.fakes.byte_tokenizer import IM_END, build_byte_tokenizer, ids_of

TOKENIZER = HubTokenizer(build_byte_tokenizer())


def pieces(steps: Sequence[tuple[int, ...]], prompt: tuple[int, ...] = ()) -> list[str]:
    flow = Detokenizer(TOKENIZER.decode, prompt)
    return [*(flow.push(step) for step in steps), flow.flush()]


def test_plain_text_is_passed_on_at_once() -> None:
    assert pieces([ids_of("Hel"), ids_of("lo")]) == ["Hel", "lo", ""]


def test_half_a_character_waits_for_its_other_half() -> None:
    euro = ids_of("€")
    assert pieces([(*ids_of("a"), euro[0]), euro[1:2], euro[2:]]) == ["a", "", "€", ""]


def test_end_within_a_character_is_shown_as_the_replacement_character() -> None:
    assert pieces([ids_of("a"), ids_of("€")[:2]]) == ["a", "", "\ufffd"]


def test_special_tokens_have_no_text() -> None:
    assert pieces([(*ids_of("a"), IM_END), (IM_END,), ids_of("b")]) == ["a", "", "b", ""]


def test_prompt_that_ends_within_a_character_is_completed() -> None:
    """A retry continues from token ids, which may cut a character in two."""
    euro = ids_of("€")
    assert pieces([euro[2:], ids_of("x")], prompt=(*ids_of("costs "), *euro[:2])) == ["€", "x", ""]


def test_broken_bytes_are_not_held_for_ever() -> None:
    """Garbled output is full of them; what is held, and the work per token, must stay bounded."""
    flow = Detokenizer(TOKENIZER.decode, ())
    out = ""
    for number in range(1, 200):
        out += flow.push((0x80,))
        assert number - len(out) <= MAX_PENDING
    assert out + flow.flush() == "\ufffd" * 199


def test_character_after_broken_bytes_is_whole() -> None:
    assert "".join(pieces([(0x80,)] * 9 + [(token,) for token in ids_of("€")])).endswith("€")


@settings(max_examples=40)
@given(st.text(max_size=30), st.lists(st.integers(1, 5), max_size=40))
def test_pieces_add_up_to_the_text(text: str, sizes: list[int]) -> None:
    token_ids, steps = ids_of(text), []
    for size in sizes:
        steps.append(token_ids[:size])
        token_ids = token_ids[size:]
    assert "".join(pieces([*steps, token_ids])) == text


@given(st.binary(max_size=60))
def test_any_bytes_give_the_same_text_as_at_once(data: bytes) -> None:
    whole = data.decode(errors="replace")
    assert "".join(pieces([(byte,) for byte in data])) == whole


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_every_complete_character_is_out_after_its_step(size: int) -> None:
    text = "größe 🌊 日本"
    token_ids = ids_of(text)
    flow = Detokenizer(TOKENIZER.decode, ())
    out, seen = "", b""
    for start in range(0, len(token_ids), size):
        step = token_ids[start : start + size]
        seen += bytes(step)
        out += flow.push(step)
        assert out == seen.decode(errors="ignore")
