"""When requests are due: speed, scale, limits, shares of workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from monitor.traffic.schedule import build_plan, mean_gap_seconds, split
from monitor.traffic.trace import TraceRequest


def trace(*times: float) -> list[TraceRequest]:
    return [TraceRequest(at, 100 + n, 10) for n, at in enumerate(times)]


def test_speed_divides_all_times() -> None:
    plan = build_plan(trace(0, 1, 4), speed=2)
    assert [planned.at_seconds for planned in plan] == [0, 0.5, 2]
    assert [planned.number for planned in plan] == [0, 1, 2]


def test_half_as_many_again() -> None:
    """Every second request has a copy, up to one mean gap later."""
    requests = trace(*range(10))
    plan = build_plan(requests, concurrency_scale=1.5)
    copies = [planned for planned in plan if planned.copy_number == 1]
    assert (len(plan), len(copies)) == (15, 5)
    for copy in copies:
        original = requests.index(copy.request)
        assert 0 <= copy.at_seconds - original < mean_gap_seconds(requests)
    assert [planned.at_seconds for planned in plan] == sorted(one.at_seconds for one in plan)


def test_a_scale_below_one_leaves_requests_out_evenly() -> None:
    plan = build_plan(trace(*range(12)), concurrency_scale=0.25)
    assert [planned.at_seconds for planned in plan] == [3, 7, 11]


def test_limit_and_duration_are_of_the_replay_s_own_time() -> None:
    requests = trace(*range(10))
    assert len(build_plan(requests, limit=3)) == 3
    timely = build_plan(requests, speed=2, duration_seconds=2)
    assert [planned.at_seconds for planned in timely] == [0, 0.5, 1, 1.5]
    assert build_plan(requests, duration_seconds=3, limit=2)[-1].at_seconds == 1


def test_requests_at_one_moment_keep_their_order() -> None:
    plan = build_plan(trace(0, 0, 0))
    assert [planned.request.input_tokens for planned in plan] == [100, 101, 102]


@given(count=some.integers(1, 60), scale=some.floats(0.05, 5), workers=some.integers(1, 9))
def test_shares_are_the_plan_and_the_plan_is_as_long_as_asked(
    count: int, scale: float, workers: int
) -> None:
    """Nothing is lost or doubled; shares differ by one request at most."""
    plan = build_plan(trace(*range(count)), concurrency_scale=scale)
    assert len(plan) == pytest.approx(count * scale, abs=1)
    shares = split(plan, workers)
    assert sorted(one.number for share in shares for one in share) == list(range(len(plan)))
    sizes = [len(share) for share in shares]
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert all(sizes)
