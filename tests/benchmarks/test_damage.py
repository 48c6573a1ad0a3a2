"""What the damage benchmark says about a generation."""

from itertools import accumulate

from benchmarks.damage import Watcher, middle, outcome, share
from detectors.acceptance.published import AcceptanceThresholds
from inference_backend.engine.request import FinishReason, SpecCounters, StepOutput

DRAFTS = 3


def outputs(accepted: list[int]) -> list[StepOutput]:
    """A generation whose steps kept so many drafts each; the first token comes from the prompt."""
    sizes = [1, *(count + 1 for count in accepted)]
    correct = [0, *accumulate(accepted)]
    return [
        StepOutput(
            request_id="a",
            token_ids=tuple(range(out - size, out)),
            completion_tokens=out,
            prompt_tokens=5,
            cached_tokens=0,
            counters=SpecCounters(step, DRAFTS * step, correct[step]),
            finish_reason=FinishReason.LENGTH if step == len(accepted) else None,
        )
        for step, (size, out) in enumerate(zip(sizes, accumulate(sizes), strict=True))
    ]


def watch(accepted: list[int]) -> Watcher:
    """Goes on until the rule speaks or the generation ends."""
    watcher = Watcher(AcceptanceThresholds())
    for output in outputs(accepted):
        if watcher.update(output):
            break
    return watcher


def test_a_healthy_generation_is_let_through_whole() -> None:
    watcher = watch([1, 2, 0, 2, 1, 3] * 40)
    assert watcher.verdict is None
    assert watcher.released == watcher.tokens == 1 + 40 * 15
    assert outcome("none", 0.7, watcher, None).leaked == 0


def test_a_generation_that_goes_bad_is_caught_and_little_leaks() -> None:
    """Healthy for 31 tokens, then no draft is right any more."""
    watcher = watch([2] * 10 + [0] * 200)
    case = outcome("noise", 0.7, watcher, onset=31)
    assert case.finding == "garbled"
    assert case.alarm is not None
    assert case.alarm > 128
    assert 0 < case.leaked <= 15
    assert case.tokens == case.alarm


def test_what_was_held_at_the_end_of_an_uncaught_generation_has_leaked() -> None:
    """It is too short for the rule, so the client gets all of it."""
    watcher = watch([2] * 5 + [0] * 40)
    assert watcher.verdict is None
    assert outcome("noise", 0.7, watcher, onset=16).leaked == watcher.tokens - 16


def test_numbers_are_written_for_readers() -> None:
    assert share(3, 4) == "3 of 4 (75%)"
    assert share(0, 0) == ""
    assert middle([5, 1, 9]) == "5 (90 %: 9)"
    assert middle(range(1, 21)) == "10.5 (90 %: 18)"
    assert middle([]) == ""
