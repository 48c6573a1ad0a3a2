"""Whatever the engine does to be fast, a greedy answer is the one that a plain recompute gives."""

import pytest

from inference_backend.engine.request import FinishReason
from tests.fakes.engine_runs import finish, prompt, recomputed, request
from tests.fakes.tiny_model import ONE_LAYER, SHAPE, tiny_engine, tiny_model

MODEL = tiny_model()


@pytest.mark.parametrize("num_drafts", [0, 1, 3, 4])
@pytest.mark.parametrize("page_size", [1, 4, 16])
def test_one_request_equals_a_full_recompute(num_drafts: int, page_size: int) -> None:
    engine = tiny_engine(num_drafts=num_drafts, page_size=page_size)
    found = finish(engine, [request("a", prompt(11))])
    assert found["a"].tokens == recomputed(MODEL, prompt(11), 24)
    assert found["a"].reason is FinishReason.LENGTH


@pytest.mark.parametrize("num_drafts", [0, 3])
def test_requests_of_a_batch_do_not_disturb_each_other(num_drafts: int) -> None:
    """Different lengths of prompt and answer, so that the batch changes in every few steps."""
    sizes = [(1, 9), (5, 30), (17, 3), (40, 21), (8, 40), (3, 1)]
    engine = tiny_engine(num_drafts=num_drafts)
    found = finish(engine, [request(str(i), prompt(n, i), new) for i, (n, new) in enumerate(sizes)])
    for i, (length, new) in enumerate(sizes):
        assert found[str(i)].tokens == recomputed(MODEL, prompt(length, i), new)


@pytest.mark.parametrize("chunk_tokens", [1, 3, 4, 7, 13, 64])
def test_a_prompt_read_in_chunks_gives_the_same_answer(chunk_tokens: int) -> None:
    engine = tiny_engine(chunk_tokens=chunk_tokens)
    found = finish(engine, [request("a", prompt(33, 1)), request("b", prompt(29, 2))])
    assert found["a"].tokens == recomputed(MODEL, prompt(33, 1), 24)
    assert found["b"].tokens == recomputed(MODEL, prompt(29, 2), 24)


@pytest.mark.parametrize("page_size", [1, 4, 16])
def test_a_known_prefix_is_not_computed_again(page_size: int) -> None:
    engine = tiny_engine(page_size=page_size)
    first = finish(engine, [request("a", prompt(37))])["a"]
    second = finish(engine, [request("b", prompt(37))])["b"]
    assert first.last.cached_tokens == 0
    assert second.last.cached_tokens == 36 // page_size * page_size
    assert second.tokens == first.tokens == recomputed(MODEL, prompt(37), 24)


def test_the_answer_of_one_turn_is_a_prefix_of_the_next() -> None:
    """A conversation: what was generated is found again, not only what was asked."""
    engine = tiny_engine()
    first = finish(engine, [request("a", prompt(10))])["a"].tokens
    longer = [*prompt(10), *first, *prompt(5, 1)]
    second = finish(engine, [request("b", longer)])["b"]
    assert second.last.cached_tokens >= 32
    assert second.tokens == recomputed(MODEL, longer, 24)


def test_a_salt_keeps_prefixes_apart() -> None:
    engine = tiny_engine()
    finish(engine, [request("a", prompt(20), salt="alice")])
    found = finish(
        engine,
        [request("b", prompt(20), salt="bob"), request("c", prompt(20), salt="alice")],
    )
    assert found["b"].last.cached_tokens == 0
    assert found["c"].last.cached_tokens > 0
    assert found["b"].tokens == found["c"].tokens


@pytest.mark.parametrize("num_drafts", [0, 3])
@pytest.mark.parametrize("page_size", [1, 4])
def test_preemption_changes_nothing_but_the_time(num_drafts: int, page_size: int) -> None:
    """Room for about two of six at their full length: somebody must yield, again and again."""
    engine = tiny_engine(num_drafts=num_drafts, page_size=page_size, pages=120 // page_size)
    found = finish(engine, [request(str(i), prompt(6 + i, i), 40) for i in range(6)])
    assert engine.scheduler.preemptions > 0
    for i in range(6):
        assert found[str(i)].tokens == recomputed(MODEL, prompt(6 + i, i), 40)


@pytest.mark.parametrize("chunk_tokens", [5, 64])
def test_a_perfect_head_is_always_believed(chunk_tokens: int) -> None:
    """The head computes what the target computes, so a refused draft would mean a wrong cache.

    Through chunks, prefixes found again, and preemption.
    """
    engine = tiny_engine(ONE_LAYER, pages=20, chunk_tokens=chunk_tokens)
    names = ["a", "b", "c", "d"]
    finish(engine, [request(name, prompt(17, 5), 28) for name in names[:1]])
    found = finish(engine, [request(name, prompt(17, 5 + i), 28) for i, name in enumerate(names)])
    assert engine.scheduler.preemptions > 0
    assert found["a"].last.cached_tokens > 0
    for generation in found.values():
        counters = generation.last.counters
        assert counters.verify_steps >= 7
        unused = 3 * counters.verify_steps - counters.correct_drafts
        assert unused <= 3  # beyond max_new_tokens in the last step


def test_drafts_do_not_depend_on_how_the_prompt_was_read() -> None:
    """With a head that looks at the hidden state: it is kept where chunks and prefixes end."""
    counters = []
    for chunk_tokens in (4, 12, 64):
        engine = tiny_engine(SHAPE, chunk_tokens=chunk_tokens, hidden_share=0.5)
        for name in ("fresh", "again"):
            found = finish(engine, [request(name, prompt(34, 3), 40)])
            counters.append(found[name].last.counters)
    assert len(set(counters)) == 1
    assert 0 < counters[0].correct_drafts < counters[0].proposed_drafts


def test_a_small_draft_vocabulary_changes_speed_only() -> None:
    engine = tiny_engine(draft_vocabulary=9)
    found = finish(engine, [request("a", prompt(11))])
    assert found["a"].tokens == recomputed(MODEL, prompt(11), 24)


def test_the_tiny_model_does_not_repeat_itself() -> None:
    """Answers that run in circles would hide a damaged cache from the tests above."""
    for seed in range(6):
        assert len(set(recomputed(MODEL, prompt(11, seed), 40))) >= 10
