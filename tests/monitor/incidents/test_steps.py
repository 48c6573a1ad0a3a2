"""Which steps of an attempt an incident keeps, and where onset and alarm lie among them."""

import pytest

from monitor.incidents.steps import KEPT_STEPS, StepSeries, step_series
from retry_proxy.events import StepsQuality
from tests.monitor.events import verdict

EXACT = StepsQuality.EXACT


def series(recent: bytes, tokens: int, onset: int, alarm: int) -> StepSeries:
    """What is kept of exact steps."""
    found = step_series(recent, EXACT, tokens, verdict(onset_token=onset, alarm_token=alarm))
    assert found is not None
    return found


def test_onset_and_alarm_are_found_by_the_tokens() -> None:
    """Token 0 is prefill's; steps of 3, 1, 2 and 1 tokens follow: 1-3, 4, 5-6, 7."""
    found = series(bytes([2, 0, 1, 0]), tokens=8, onset=5, alarm=8)
    assert (found.accepted, found.first_token) == ("2010", 1)
    assert (found.onset_step, found.alarm_step) == (2, 3)
    assert found.counts() == [2, 0, 1, 0]
    assert found.quality == "exact"


def test_an_onset_at_the_very_beginning() -> None:
    """The token that prefill gave belongs to the first step's place."""
    assert series(bytes([2, 0]), tokens=5, onset=0, alarm=5).onset_step == 0


def test_an_onset_before_what_is_kept_has_no_place() -> None:
    """The first 96 tokens have no steps any more."""
    found = series(bytes([0] * 4), tokens=100, onset=50, alarm=100)
    assert (found.onset_step, found.alarm_step, found.first_token) == (None, 3, 96)


def test_many_drafts_are_one_character() -> None:
    """A letter for 10 and more; the last one for all that is more than it."""
    found = series(bytes([9, 10, 35, 200]), tokens=259, onset=0, alarm=259)
    assert found.accepted == "9azz"
    assert found.counts() == [9, 10, 35, 35]


@pytest.mark.parametrize("alarm", [300, 900, 1200, 2000])
def test_a_long_answer_is_cut_around_the_alarm(alarm: int) -> None:
    """One that was let through goes on after it; its beginning and its end are not kept."""
    found = series(bytes(2000), tokens=2001, onset=alarm - 20, alarm=alarm)
    assert len(found.accepted) == KEPT_STEPS
    assert found.onset_step is not None
    assert found.alarm_step is not None
    assert found.alarm_step - found.onset_step == 19  # 20 tokens, a step each
    assert found.first_token + found.alarm_step == alarm - 1


def test_an_alarm_beyond_what_the_engine_counted_is_at_the_end() -> None:
    """The text was read further than the steps were told; no place lies outside."""
    found = series(bytes([1, 1]), tokens=5, onset=9, alarm=50)
    assert (found.onset_step, found.alarm_step) == (None, 1)


def test_more_steps_than_tokens_do_not_make_a_place_before_the_start() -> None:
    """Upper bounds may add up to more than was counted."""
    found = series(bytes([5, 5, 5]), tokens=4, onset=1, alarm=4)
    assert found.first_token == 0
    assert found.onset_step == 0


def test_no_steps_no_series() -> None:
    """An engine that tells no acceptance."""
    assert step_series(b"", EXACT, 100, verdict()) is None


def test_what_a_later_version_writes_is_read_as_far_as_it_goes() -> None:
    """Unknown characters are not a reason to fail."""
    assert StepSeries(accepted="1?Ä2", first_token=0).counts() == [1, 0, 0, 2]
