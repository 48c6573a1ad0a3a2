"""Whether a replica's drafter works, told by its ended streams."""

import random
from itertools import count

import pytest

from detectors.draft_health import DraftHealth, DraftHealthOptions, DraftState, low_line

DRAFTS = 3
STEPS = 100


def end(
    health: DraftHealth,
    accept_length: float,
    *,
    steps: int = STEPS,
    was_flagged: bool = False,
    is_upper_bound: bool = False,
) -> DraftState:
    accepted = round(steps * (accept_length - 1))
    return health.ended(steps, accepted, DRAFTS, was_flagged, is_upper_bound)


def dead_length(source: random.Random) -> float:
    """Accept length of a stream with a dead drafter: a few drafts are right by chance."""
    return source.uniform(1.02, 1.3)


def lively_length(source: random.Random) -> float:
    """Accept length of a stream of mixed work: hot fiction is low, quoting is high."""
    return 1.3 if source.random() < 0.1 else source.uniform(1.7, 3.9)


def streams_until(health: DraftHealth, state: DraftState, accept_length: float, **how: bool) -> int:
    """How many such streams lead to ``state``."""
    return next(number for number in count(1) if end(health, accept_length, **how) is state)


def test_dead_from_the_start() -> None:
    """Found after a dozen streams, without ever having been called healthy."""
    health = DraftHealth()
    states = [end(health, 1.05) for _ in range(200)]
    assert states.index(DraftState.DEAD) == 10
    assert set(states) == {DraftState.UNKNOWN, DraftState.DEAD}


@pytest.mark.parametrize("healthy_before", [2, 100, 5000])
def test_a_drafter_that_dies_is_found_as_soon_after_any_history(healthy_before: int) -> None:
    """First it is no longer believed, then it is dead; a thousand good streams delay nothing."""
    health = DraftHealth()
    for _ in range(healthy_before):
        end(health, 2.4)
    assert health.state is DraftState.HEALTHY
    assert streams_until(health, DraftState.UNKNOWN, 1.05) == 4
    assert streams_until(health, DraftState.DEAD, 1.05) == 13


def test_a_drafter_that_dies_is_found_though_each_of_its_streams_is_flagged() -> None:
    """While it is thought healthy, low acceptance is believed at once: each stream is flagged."""
    health = DraftHealth()
    for _ in range(100):
        end(health, 2.4)
    assert streams_until(health, DraftState.UNKNOWN, 1.05, was_flagged=True) == 9
    assert streams_until(health, DraftState.DEAD, 1.05, was_flagged=True) == 33


def test_it_recovers_by_itself() -> None:
    """After a flush or a restart of the draft model."""
    health = DraftHealth()
    for _ in range(1000):
        end(health, 1.05)
    assert streams_until(health, DraftState.UNKNOWN, 2.4) == 4
    assert streams_until(health, DraftState.HEALTHY, 2.4) == 2


def test_one_bad_stream_tips_nothing() -> None:
    """Neither at the start nor later, however long it was."""
    health = DraftHealth()
    assert end(health, 1.0, steps=100_000) is DraftState.UNKNOWN
    for _ in range(5):
        end(health, 2.4)
    assert end(health, 1.0, steps=100_000) is DraftState.HEALTHY


def test_a_few_long_healthy_streams_do_not_hide_a_dead_drafter() -> None:
    """Copying is easy for any drafter."""
    health = DraftHealth()
    states = [end(health, 1.05) for _ in range(30)]
    for number in range(300):
        is_copying = number % 25 < 2
        states.append(end(health, 3.9 if is_copying else 1.05, steps=2000 if is_copying else STEPS))
    assert set(states[30:]) == {DraftState.DEAD}


@pytest.mark.parametrize("seed", range(20))
def test_mixed_traffic_on_a_working_drafter_is_never_dead(seed: int) -> None:
    source = random.Random(seed)
    health = DraftHealth()
    states = [end(health, lively_length(source), steps=source.randint(1, 800)) for _ in range(2000)]
    assert DraftState.DEAD not in states
    assert states[30:].count(DraftState.HEALTHY) > 0.99 * len(states[30:])


@pytest.mark.parametrize("seed", range(20))
def test_mixed_traffic_on_a_dead_drafter_is_never_healthy(seed: int) -> None:
    source = random.Random(seed)
    health = DraftHealth()
    states = [end(health, dead_length(source), steps=source.randint(1, 800)) for _ in range(2000)]
    assert DraftState.HEALTHY not in states
    assert set(states[60:]) == {DraftState.DEAD}


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_cache_in_most_streams_is_no_dead_drafter(seed: int) -> None:
    """Three of four streams are garbled and flagged; the others show that the drafter works."""
    source = random.Random(seed)
    health = DraftHealth()
    states = []
    for _ in range(1000):
        is_damaged = source.random() < 0.75
        length = dead_length(source) if is_damaged else lively_length(source)
        states.append(end(health, length, was_flagged=is_damaged))
    assert states.count(DraftState.DEAD) < 0.01 * len(states)


def test_short_answers_count_for_little_and_add_up() -> None:
    """Two steps say next to nothing; a hundred times two steps do."""
    health = DraftHealth()
    assert {end(health, 1.0, steps=2) for _ in range(20)} == {DraftState.UNKNOWN}
    for _ in range(200):
        end(health, 1.0, steps=2)
    assert health.state is DraftState.DEAD


def test_a_flagged_stream_never_vouches_for_the_replica() -> None:
    """A loop is easy to draft."""
    health = DraftHealth()
    assert {end(health, 3.9, was_flagged=True) for _ in range(100)} == {DraftState.UNKNOWN}
    for _ in range(30):
        end(health, 1.05)
    assert {end(health, 3.9, was_flagged=True) for _ in range(100)} == {DraftState.DEAD}


def test_low_upper_bounds_are_believed() -> None:
    """The true acceptance can only be lower."""
    health = DraftHealth()
    assert streams_until(health, DraftState.DEAD, 1.05, is_upper_bound=True) == 11


def test_high_upper_bounds_prove_no_drafter_but_take_back_a_charge() -> None:
    """Chunks that merge steps look lively; and a replica must not stay dead for ever."""
    health = DraftHealth()
    assert {end(health, 3.0, is_upper_bound=True) for _ in range(1000)} == {DraftState.UNKNOWN}
    for _ in range(30):
        end(health, 1.05, is_upper_bound=True)
    assert health.state is DraftState.DEAD
    states = [end(health, 3.0, is_upper_bound=True) for _ in range(100)]
    assert states[-1] is DraftState.UNKNOWN
    assert DraftState.HEALTHY not in states
    exact = DraftHealth()
    for _ in range(10):
        end(exact, 3.0)
    assert end(exact, 3.0, is_upper_bound=True) is DraftState.HEALTHY


@pytest.mark.parametrize(
    ("steps", "accepted", "num_drafts"),
    [(None, None, None), (None, 5, 3), (5, None, 3), (0, 0, None), (50, 0, 0)],
)
def test_engines_without_acceptance_stay_unknown_for_ever(
    steps: int | None, accepted: int | None, num_drafts: int | None
) -> None:
    """Also one that proposes no drafts: one token per step is normal there."""
    health = DraftHealth()
    states = {health.ended(steps, accepted, num_drafts, False) for _ in range(1000)}
    assert states == {DraftState.UNKNOWN}
    assert health.streams == 0
    assert "no stream" in health.reason


def test_the_line_follows_the_number_of_drafts() -> None:
    """One draft a step gives at most two tokens; ten drafts give more than three do."""
    options = DraftHealthOptions()
    lines = [low_line(drafts, options) for drafts in (1, 2, 3, 10, None)]
    assert lines == pytest.approx([1.2, 1.4, 1.6, 1.7, 1.4])


def test_the_reason_can_be_checked() -> None:
    """Counts, the line, and the middle of what was seen."""
    health = DraftHealth()
    end(health, 2.4)
    for _ in range(19):
        end(health, 1.06)
    assert health.reason == (
        "19 of the last 20 streams on this replica had an accept length under 1.60 (median 1.06)"
    )
    assert health.numbers["recent_low"] == 19
    assert health.numbers["recent_median"] == pytest.approx(1.06)
    assert health.numbers["streams"] == 20


def test_memory_is_bounded() -> None:
    """A million streams leave as much behind as twenty."""
    health = DraftHealth()
    for _ in range(5000):
        end(health, 2.0)
    assert len(health._recent) == DraftHealthOptions().kept_streams
    assert health.numbers["streams"] == 5000
