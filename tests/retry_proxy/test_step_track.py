"""Steps as they were told, however an engine tells them."""

import pytest

from detectors.observation import Observation
from retry_proxy.events import StepsQuality
from retry_proxy.stream.step_track import StepTrack, spread


def told(track: StepTrack, *steps: tuple[int | None, int | None], bound: bool = False) -> StepTrack:
    """``track`` after chunks of so many steps and accepted drafts."""
    for count, accepted in steps:
        track.note(Observation(steps=count, accepted=accepted, is_upper_bound=bound))
    return track


def test_single_steps_are_exact() -> None:
    """What has no step, or tells none, is none."""
    track = told(StepTrack(), (1, 2), (0, 0), (None, None), (1, 0), (1, 300))
    assert track.recent() == (bytes([2, 0, 255]), StepsQuality.EXACT)
    assert track.exact == bytes([2, 0, 255])


def test_merged_steps_are_spread_and_never_teach() -> None:
    """Learning wants single steps alone; a person wants the order."""
    track = told(StepTrack(), (1, 2), (3, 4), (1, 1))
    assert track.recent() == (bytes([2, 2, 1, 1, 1]), StepsQuality.MERGED)
    assert track.exact == bytes([2, 1])


def test_upper_bounds_are_told_as_such_and_never_teach() -> None:
    track = told(StepTrack(), (1, 3), (2, 4), bound=True)
    assert track.recent() == (bytes([3, 2, 2]), StepsQuality.UPPER_BOUND)
    assert track.exact == b""


def test_an_exact_step_among_upper_bounds_is_in_both() -> None:
    """Whichever comes first."""
    mixed = told(told(told(StepTrack(), (1, 1)), (1, 3), bound=True), (1, 0))
    assert mixed.recent() == (bytes([1, 3, 0]), StepsQuality.UPPER_BOUND)
    assert mixed.exact == bytes([1, 0])


def test_the_first_chunk_of_a_live_engine_does_not_spoil_the_rest() -> None:
    """Before it is known that counters are live, prefill's token is taken for an upper bound."""
    track = told(told(StepTrack(), (0, 0), bound=True), (1, 2))
    assert track.recent() == (bytes([2]), StepsQuality.EXACT)


@pytest.mark.parametrize("bound", [False, True])
def test_a_long_stream_keeps_its_last_steps(bound: bool) -> None:
    """Bounded, and the newest are always there."""
    track = StepTrack()
    for step in range(5000):
        told(track, (1, step % 7), bound=bound)
        recent, _ = track.recent()
        assert len(recent) <= 2048
        assert recent[-1] == step % 7
    assert len(recent) >= 1024


def test_an_absurd_number_of_steps_costs_nothing() -> None:
    """An engine may claim anything."""
    track = told(StepTrack(), (10**9, 5))
    assert len(track.recent()[0]) <= 2048


@pytest.mark.parametrize(("steps", "accepted"), [(1, 0), (3, 4), (4, 3), (5, 2000), (2, -3)])
def test_spreading_adds_up(steps: int, accepted: int) -> None:
    """Evenly, in bytes, and never below nothing."""
    parts = spread(steps, accepted)
    assert len(parts) == steps
    assert max(parts) - min(parts) <= 1
    assert sum(parts) == min(max(accepted, 0), 255 * steps)
