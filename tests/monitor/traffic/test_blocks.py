"""Hashes of prompts: equal beginnings show, nothing else does."""

from typing import Any

from monitor.traffic.blocks import prompt_shape

SALT = b"s" * 32


def chat(*texts: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text} for text in texts]}


def common(first: list[int], second: list[int]) -> int:
    """Blocks that both begin with."""
    pairs = zip(first, second, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def test_the_next_turn_begins_as_the_one_before() -> None:
    first = prompt_shape(chat("a" * 10_000), SALT)
    second = prompt_shape(chat("a" * 10_000, "b" * 3_000), SALT)
    assert len(first.hashes) == 5
    assert common(first.hashes, second.hashes) == 4  # the fifth was not full
    assert len(second.hashes) == 7


def test_a_hash_covers_all_that_came_before() -> None:
    """The same block behind another beginning is another one: its cache cannot be used."""
    first = prompt_shape({"prompt": "x" * 2048 + "y" * 8192}, SALT)
    second = prompt_shape({"prompt": "z" * 2048 + "y" * 8192}, SALT)
    assert not set(first.hashes) & set(second.hashes)


def test_token_ids_are_counted_exactly() -> None:
    ids = list(range(1000, 2025))
    shape = prompt_shape({"input_ids": ids}, SALT)
    assert (shape.tokens, len(shape.hashes)) == (1025, 3)
    longer = prompt_shape({"prompt": [*ids, 5]}, SALT)
    assert common(shape.hashes, longer.hashes) == 2


def test_another_salt_gives_other_hashes() -> None:
    first, second = (prompt_shape(chat("a" * 9000), salt).hashes for salt in (SALT, b"t" * 32))
    assert not set(first) & set(second)
    assert all(0 <= value < 2**53 for value in first + second)


def test_a_batch_of_prompts_and_a_request_without_one() -> None:
    assert prompt_shape({"prompt": [[1, 2], [3]]}, SALT).tokens > 0
    empty = prompt_shape({}, SALT)
    assert (empty.tokens, empty.hashes) == (1, [])
