"""Rates out of counts that only grow."""

import pytest

from monitor.top.reading import Counts, Replica, read_counts, read_engines, read_replicas
from monitor.top.window import Rates, Window

A = "http://a"


def counts(attempts: float, anomalies: float, steps: float, accepted: float) -> dict[str, Counts]:
    return {A: Counts(attempts, anomalies, steps, accepted)}


def test_one_look_counts_from_the_start() -> None:
    """For ``--once``."""
    window = Window()
    assert window.rates(A) == Rates()
    window.add(5.0, counts(10, 1, 100, 150))
    assert window.covered_seconds is None
    assert window.rates(A) == Rates(10, 0.1, 2.5)


def test_later_looks_count_the_last_minute_alone() -> None:
    """What was before it has no part in it; memory stays bounded."""
    window = Window(seconds=60.0)
    for second in range(0, 1000, 10):
        window.add(float(second), counts(second, second / 2, second, 3.0 * second))
    assert window.covered_seconds == 60
    assert window.rates(A) == Rates(60, 0.5, 4.0)
    window.add(991.0, counts(990, 495, 990, 2970))
    assert window.rates(A) == Rates(60, 0.5, 4.0)  # from the look at 930 on


def test_a_proxy_that_was_started_again_counts_anew() -> None:
    """Never below nothing."""
    window = Window()
    window.add(0.0, counts(100, 50, 1000, 0))
    window.add(2.0, counts(4, 1, 10, 20))
    assert window.rates(A) == Rates(4, 0.25, 3.0)


def test_what_did_not_happen_has_no_rate() -> None:
    """No attempt, no share; no steps, no length; an unknown replica, nothing at all."""
    window = Window()
    window.add(0.0, {A: Counts(attempts=3, anomalies=0)})
    window.add(2.0, {A: Counts(attempts=3, anomalies=0)})
    assert window.rates(A) == Rates(0, None, None)
    assert window.rates("http://b") == Rates()


def test_counts_of_the_replicas_that_are_there() -> None:
    """Odd addresses are escaped in the exposition; others' series are left out."""
    odd = 'http://a"\\b'
    replicas = (Replica(address=odd, attempts=7, anomalies=2), Replica(address="http://new"))
    page = (
        "# TYPE specwatch_steps_total counter\n"
        'specwatch_steps_total{replica="http://a\\"\\\\b"} 9.0\n'
        'specwatch_steps_total{replica="other"} 5.0\n'
        "# TYPE specwatch_accepted_tokens_total counter\n"
        'specwatch_accepted_tokens_total{replica="http://a\\"\\\\b"} 18.0\n'
    )
    assert read_counts(page, replicas) == {odd: Counts(7, 2, 9, 18), "http://new": Counts()}
    with pytest.raises(ValueError, match="invalid metric name"):
        read_counts("<html>a b c</html>", replicas)


def test_what_other_versions_tell() -> None:
    """More fields, or fewer."""
    (replica,) = read_replicas(b'{"replicas": [{"address": "http://a", "shape": [1]}], "at": 1}')
    assert (replica.state, replica.in_flight) == (None, None)
    engines = read_engines(b'{"replicas": {"http://a": {"values": {"x": 1}, "of_later": 1}}}')
    assert engines["http://a"].values == {"x": 1.0}
