"""Made-up prompts: right lengths, shared where the trace's were, the same in every process."""

import msgspec
import pytest

from monitor.traffic.prompts import HIGHEST_ID, LOWEST_ID, IdPrompts, Scale, TextPrompts
from monitor.traffic.schedule import Planned
from monitor.traffic.trace import TraceRequest
from monitor.traffic.words import WORDS


def planned(
    tokens: int, *blocks: int, number: int = 0, copy_number: int = 0, block_tokens: int = 512
) -> Planned:
    request = TraceRequest(0.0, tokens, 10, blocks, block_tokens)
    return Planned(number, 0.0, request, copy_number)


def ids(prompts: IdPrompts, request: Planned) -> list[int]:
    return msgspec.json.decode(prompts.encoded(request), type=list[int])


def words(prompts: TextPrompts, request: Planned) -> list[str]:
    return msgspec.json.decode(prompts.encoded(request), type=str).split()


def common(first: list[int], second: list[int]) -> int:
    pairs = zip(first, second, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


@pytest.mark.parametrize("tokens", [1, 511, 512, 513, 1030])
def test_token_ids_have_the_recorded_length(tokens: int) -> None:
    prompts = IdPrompts(Scale(), "s")
    found = ids(prompts, planned(tokens, 0, 1, 2))
    assert len(found) == tokens
    assert all(LOWEST_ID <= one < HIGHEST_ID for one in found)


def test_shared_blocks_are_shared_and_others_are_not() -> None:
    prompts = IdPrompts(Scale(), "s")
    first = ids(prompts, planned(1500, 0, 1, 2))
    second = ids(prompts, planned(1300, 0, 1, 7, number=1))
    assert 1024 <= common(first, second) < 1030
    third = ids(prompts, planned(1500, 9, 1, 2, number=2))
    assert common(first, third) < 5


def test_a_last_block_that_is_not_full_is_the_beginning_of_the_full_one() -> None:
    prompts = IdPrompts(Scale(), "s")
    short, long = (ids(prompts, planned(size, 0, 1)) for size in (700, 1024))
    assert long[:700] == short


def test_without_blocks_nothing_is_shared() -> None:
    """Azure's traces tell of no prefix."""
    prompts = IdPrompts(Scale(), "s")
    first, second = (ids(prompts, planned(600, number=number)) for number in (0, 1))
    assert len(first) == 600
    assert common(first, second) < 5


def test_what_the_blocks_do_not_cover_is_the_request_s_own() -> None:
    """An engine may have counted more tokens than the recorder's bytes are blocks."""
    prompts = IdPrompts(Scale(), "s")
    first, second = (ids(prompts, planned(900, 4, number=number)) for number in (0, 1))
    assert len(first) == 900
    assert 512 <= common(first, second) < 517


def test_copies_share_with_copies_only() -> None:
    prompts = IdPrompts(Scale(), "s")
    original, copy, other = (
        ids(prompts, planned(1024, 0, 1, copy_number=number)) for number in (0, 1, 1)
    )
    assert copy == other
    assert common(original, copy) < 5


def test_another_process_writes_the_same_and_another_seed_does_not() -> None:
    request = planned(1024, 0, 1)
    first, again, other = (ids(IdPrompts(Scale(), seed), request) for seed in ("s", "s", "t"))
    assert first == again
    assert common(first, other) < 5


def test_ids_stay_within_a_small_vocabulary() -> None:
    found = ids(IdPrompts(Scale(highest_id=300), "s"), planned(2000))
    assert set(found) <= set(range(LOWEST_ID, 300))


def test_words_follow_the_target_s_count() -> None:
    """1.5 tokens a word and 12 for the template, as the target counts."""
    prompts = TextPrompts(Scale(tokens_per_word=1.5, extra_tokens=12), "s")
    found = words(prompts, planned(3012, *range(6)))
    assert 1.5 * len(found) + 12 == pytest.approx(3012, rel=0.01)
    assert set(found) <= set(WORDS)
    assert len(set(WORDS)) == 256


def test_text_is_cut_from_a_given_one() -> None:
    corpus = [f"word{number}" for number in range(50)]
    prompts = TextPrompts(Scale(), "s", corpus)
    found = words(prompts, planned(64, block_tokens=64))
    start = corpus.index(found[0])
    assert found == [corpus[(start + n) % 50] for n in range(64)]


def test_quotes_in_the_text_are_escaped() -> None:
    prompts = TextPrompts(Scale(), "s", ['"quoted"', "back\\slash"])
    assert set(words(prompts, planned(600, 1, 2))) == {'"quoted"', "back\\slash"}
