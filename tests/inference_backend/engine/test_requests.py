"""How a generation ends, and what is refused before it begins."""

from collections.abc import Callable

import pytest

from inference_backend.engine.request import FinishReason, GenerationRequest
from inference_backend.errors import InvalidRequest
from tests.fakes.engine_runs import check_pages, finish, prompt, recomputed, request
from tests.fakes.tiny_model import EOS, ONE_LAYER, SHAPE, VOCAB, tiny_engine, tiny_model

MODEL = tiny_model(ONE_LAYER)
ANSWER = recomputed(MODEL, prompt(9), 40)


@pytest.mark.parametrize("new_tokens", range(1, 12))
def test_the_last_step_may_be_cut_short(new_tokens: int) -> None:
    """The head is perfect, so every step brings four tokens; what is too much is dropped."""
    engine = tiny_engine(ONE_LAYER)
    found = finish(engine, [request("a", prompt(9), new_tokens)])["a"]
    assert found.tokens == ANSWER[:new_tokens]
    assert found.reason is FinishReason.LENGTH
    assert found.last.completion_tokens == new_tokens
    assert found.last.counters.correct_drafts <= new_tokens - 1


@pytest.mark.parametrize("place", range(1, 9))
def test_a_stop_token_inside_an_accepted_run_ends_the_answer(place: int) -> None:
    stop = ANSWER[place]
    first = ANSWER.index(stop)
    engine = tiny_engine(ONE_LAYER)
    found = finish(engine, [request("a", prompt(9), 40, stop_token_ids=frozenset({stop}))])["a"]
    assert found.tokens == ANSWER[: first + 1]
    assert found.reason is FinishReason.STOP
    assert found.last.matched_token_id == stop


def seed_that_meets_eos() -> int:
    """A prompt whose greedy answer contains the end token, but not at once."""
    for seed in range(200):
        answer = recomputed(MODEL, prompt(7, seed), 30)
        if EOS in answer[2:]:
            return seed
    raise AssertionError("no prompt leads to the end token")


def test_the_end_token_ends_the_answer_unless_it_is_ignored() -> None:
    seed = seed_that_meets_eos()
    engine = tiny_engine(ONE_LAYER)
    found = finish(
        engine,
        [
            request("ends", prompt(7, seed), 30, ignore_eos=False),
            request("goes on", prompt(7, seed), 30),
        ],
    )
    assert found["ends"].tokens == recomputed(MODEL, prompt(7, seed), 30, ignore_eos=False)
    assert found["ends"].last.matched_token_id == EOS
    assert found["goes on"].tokens == recomputed(MODEL, prompt(7, seed), 30)
    assert found["goes on"].reason is FinishReason.LENGTH


def test_outputs_add_up() -> None:
    """Cumulative numbers agree with what was streamed, in every output."""
    engine = tiny_engine()
    for generation in finish(
        engine, [request(str(i), prompt(5, i), 33) for i in range(4)]
    ).values():
        out = 0
        for output in generation.outputs:
            out += len(output.token_ids)
            assert output.token_ids
            assert output.completion_tokens == out
            assert output.counters.proposed_drafts == 3 * output.counters.verify_steps
        assert [output.finish_reason for output in generation.outputs[:-1]] == [None] * (
            len(generation.outputs) - 1
        )
        counters = generation.last.counters
        assert out <= 1 + counters.verify_steps + counters.correct_drafts


def test_without_drafts_no_verification_is_counted() -> None:
    found = finish(tiny_engine(num_drafts=0), [request("a", prompt(5))])["a"]
    assert found.last.counters.verify_steps == 0
    assert len(found.outputs) == 24


@pytest.mark.parametrize("steps_before", [0, 1, 2, 5])
def test_an_abort_frees_the_pages_at_once(steps_before: int) -> None:
    """While waiting, while the prompt is read, and while decoding."""
    engine = tiny_engine(chunk_tokens=8)
    engine.add(request("a", prompt(20)))
    for _ in range(steps_before):
        engine.step()
    output = engine.abort("a")
    assert output is not None
    assert output.finish_reason is FinishReason.ABORT
    assert output.token_ids == ()
    assert not engine.has_work
    check_pages(engine)


def test_an_abort_leaves_the_others_alone() -> None:
    engine = tiny_engine()
    engine.add(request("gone", prompt(9, 7), 40))
    for name in ("a", "b"):
        engine.add(request(name, prompt(9, ord(name)), 24))
    for _ in range(3):
        engine.step()
    engine.abort("gone")
    assert engine.abort("gone") is None
    found = finish(engine)
    assert found["a"].last.completion_tokens == found["b"].last.completion_tokens == 24


def too_long_for_the_model() -> GenerationRequest:
    return request("a", prompt(200), SHAPE.max_context - 200)


REFUSED: dict[str, tuple[Callable[[], GenerationRequest], str]] = {
    "empty": (lambda: request("a", []), "empty"),
    "too long": (too_long_for_the_model, "together more than"),
    "id too large": (lambda: request("a", [1, VOCAB]), "outside the vocabulary"),
    "id negative": (lambda: request("a", [1, -1]), "outside the vocabulary"),
    "no new tokens": (lambda: request("a", [1], 0), "max_new_tokens"),
    "temperature": (lambda: request("a", [1], temperature=-0.1), "temperature"),
    "not a number": (lambda: request("a", [1], temperature=float("nan")), "temperature"),
    "top_p": (lambda: request("a", [1], top_p=0.0), "top_p"),
    "top_k": (lambda: request("a", [1], top_k=0), "top_k"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_served_is_refused(case: str) -> None:
    make, words = REFUSED[case]
    engine = tiny_engine()
    with pytest.raises(InvalidRequest, match=words):
        engine.add(make())
    check_pages(engine)


def test_what_does_not_fit_the_pages_is_refused() -> None:
    """It could never run, not even alone."""
    engine = tiny_engine(pages=10)
    with pytest.raises(InvalidRequest, match="together more than"):
        engine.add(request("a", prompt(20), 20))


def test_the_longest_request_that_is_accepted_also_finishes() -> None:
    engine = tiny_engine(pages=10)
    room = engine.max_context
    found = finish(engine, [request("a", prompt(room - 13), 13)])
    assert found["a"].last.completion_tokens == 13


def test_an_id_is_used_once_at_a_time() -> None:
    engine = tiny_engine()
    engine.add(request("a", prompt(4)))
    with pytest.raises(InvalidRequest, match="running already"):
        engine.add(request("a", prompt(5)))
    finish(engine)
    engine.add(request("a", prompt(4)))
    finish(engine)


def test_the_snapshot_counts() -> None:
    engine = tiny_engine()
    generations = finish(engine, [request(str(i), prompt(8, i), 10) for i in range(3)])
    engine.add(request("x", prompt(30)))
    engine.abort("x")
    now = engine.snapshot(is_alive=True)
    assert (now.running, now.waiting, now.aborted_total) == (0, 0, 1)
    assert now.generation_tokens_total == 30
    assert now.pages_free + now.pages_cached == now.pages_total
    assert now.verify_steps_total == sum(g.last.counters.verify_steps for g in generations.values())
