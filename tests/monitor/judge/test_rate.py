"""How many texts a minute the judge takes."""

from monitor.judge.rate import Allowance


def test_so_many_at_once_and_then_one_after_the_other() -> None:
    """Thirty a minute is one every two seconds, after the first thirty."""
    allowance = Allowance(per_minute=30)
    assert [allowance.take(0.0) for _ in range(31)] == [True] * 30 + [False]
    assert not allowance.take(1.9)
    assert allowance.take(2.1)
    assert not allowance.take(2.2)


def test_over_an_hour_no_more_than_allowed() -> None:
    """However often it is asked, and after a long quiet no more than a minute's worth."""
    allowance = Allowance(per_minute=30)
    taken = sum(allowance.take(second / 10) for second in range(36_000))
    assert 30 * 60 <= taken <= 30 * 61
    assert sum(allowance.take(1e6) for _ in range(100)) == 30


def test_a_reserve_is_left_for_others() -> None:
    """Samples of healthy answers never take what incidents may need."""
    allowance = Allowance(per_minute=10)
    assert sum(allowance.take(0.0, reserve_share=0.5) for _ in range(100)) == 5
    assert sum(allowance.take(0.0) for _ in range(100)) == 5


def test_a_clock_that_goes_back_gives_nothing() -> None:
    """Monotonic clocks do not; a mistake must not open the tap."""
    allowance = Allowance(per_minute=1)
    assert allowance.take(100.0)
    assert not allowance.take(0.0)
