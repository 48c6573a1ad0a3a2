"""What scrapes add up to: restarts of engines, failures, replicas that leave."""

import pytest

from monitor.engine_metrics.names import Quantity
from monitor.engine_metrics.reading import Reading
from monitor.engine_metrics.state import EngineStates

A = "http://a"


def reading(**values: float) -> Reading:
    """By names of quantities."""
    return Reading({Quantity[name.upper()]: value for name, value in values.items()})


def test_acceptance_is_over_the_time_between_two_scrapes() -> None:
    """100 steps with 50 accepted of 300, whatever was before."""
    states = EngineStates()
    states.take(A, "vllm", reading(verify_steps=1000, drafted=3000, accepted=2900))
    assert states.replicas[A].accept_length is None
    states.take(A, "vllm", reading(verify_steps=1100, drafted=3300, accepted=2950))
    assert states.replicas[A].accept_length == 1.5
    assert states.replicas[A].accept_rate == pytest.approx(50 / 300)


def test_an_idle_engine_has_no_acceptance() -> None:
    """Nothing was verified: not 1.0, and not the last value either."""
    states = EngineStates()
    for _ in range(2):
        states.take(A, "vllm", reading(verify_steps=1000, drafted=3000, accepted=2900))
    assert states.replicas[A].accept_length is None


def test_sglang_s_gauges_stand_where_it_has_no_counter_of_accepted_drafts() -> None:
    states = EngineStates()
    gauges = {"accept_length_gauge": 2.4, "accept_rate_gauge": 0.5}
    states.take(A, "sglang", reading(verify_steps=10, **gauges))
    states.take(A, "sglang", reading(verify_steps=20, **gauges))
    assert states.replicas[A].accept_length == 2.4
    assert states.replicas[A].accept_rate == 0.5


def test_totals_grow_by_what_is_new_also_after_a_restart() -> None:
    """What an engine counted before we came is not ours; a restarted one starts at 0."""
    states = EngineStates()
    for counted in (500.0, 520.0, 7.0):
        states.take(A, "vllm", reading(generated=counted, preemptions=counted))
    assert states.totals == {("vllm", Quantity.GENERATED): 27.0}
    assert states.replicas[A].preemptions == 27.0


def test_two_replicas_of_one_engine_are_added_up() -> None:
    states = EngineStates()
    for counted in (0.0, 5.0):
        for address in (A, "http://b"):
            states.take(address, "vllm", reading(generated=counted))
    assert states.totals == {("vllm", Quantity.GENERATED): 10.0}


def test_a_failure_leaves_no_old_number_and_loses_no_count() -> None:
    """What was generated meanwhile is in the next scrape."""
    states = EngineStates()
    states.take(A, "vllm", reading(generated=5, running=3))
    states.fail(A, "vllm", "connection refused")
    assert states.replicas[A].reading is None
    assert states.replicas[A].error == "connection refused"
    states.take(A, "vllm", reading(generated=9, running=1))
    assert states.totals == {("vllm", Quantity.GENERATED): 4.0}
    assert states.replicas[A].error is None


def test_who_left_is_forgotten_and_the_totals_stay() -> None:
    states = EngineStates()
    for counted in (0.0, 5.0):
        states.take(A, "vllm", reading(generated=counted))
    states.keep_only(frozenset())
    assert states.replicas == {}
    assert states.totals == {("vllm", Quantity.GENERATED): 5.0}


def test_another_engine_at_the_same_address_starts_anew() -> None:
    states = EngineStates()
    states.take(A, "vllm", reading(generated=500))
    states.take(A, "sglang", reading(generated=900))
    assert states.totals == {}
