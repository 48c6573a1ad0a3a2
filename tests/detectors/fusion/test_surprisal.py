"""Surprisal from the engine's log-probabilities."""

import math

from detectors.fusion.surprisal import Surprisal


def test_silent_without_log_probabilities_and_at_first() -> None:
    track = Surprisal()
    assert track.surge == 0.0
    track.update((-9.0,) * 10)
    assert track.surge == 0.0


def test_a_rise_shows_within_a_dozen_tokens() -> None:
    track = Surprisal()
    track.update((-0.5,) * 200)
    assert abs(track.surge) < 0.01
    track.update((-6.0,) * 12)
    assert track.surge > 3.0


def test_a_stream_that_was_always_surprising_does_not_surge() -> None:
    track = Surprisal()
    track.update((-6.0,) * 300)
    assert abs(track.surge) < 0.01


def test_impossible_and_broken_values_are_bounded() -> None:
    track = Surprisal()
    track.update((-0.5,) * 200)
    track.update((-math.inf, math.nan, -1e300) * 10)
    assert 0.0 < track.surge <= 20.0
