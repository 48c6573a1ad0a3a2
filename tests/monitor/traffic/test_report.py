"""The report: counts, percentiles, rates with intervals, and warnings."""

import io

import pytest
from rich.console import Console

from monitor.traffic.outcome import Failure, Outcome, Sanitizer
from monitor.traffic.replay import Replayed
from monitor.traffic.report import Report, rate, report_of, spread
from monitor.traffic.schedule import Planned
from monitor.traffic.show import show_report
from monitor.traffic.trace import TraceRequest


def report(*outcomes: Outcome, held: int = 0, unsent: int = 0) -> Report:
    plan = [Planned(n, n * 0.1, TraceRequest(n * 0.1, 100, 5)) for n in range(len(outcomes))]
    return report_of(plan, Replayed(list(outcomes), unsent, held, 3, 10.0))


def good(number: int, **fields: object) -> Outcome:
    values: dict[str, object] = {
        "status": 200,
        "first_token_seconds": 0.1,
        "last_token_seconds": 0.5,
        "seconds": 0.6,
        "prompt_tokens": 100,
        "completion_tokens": 5,
    }
    return Outcome(number, number * 0.1, 0.001, **(values | fields))  # type: ignore[arg-type]


def test_percentiles_by_nearest_rank() -> None:
    found = spread(float(n) for n in range(1, 101))
    assert found is not None
    assert (found.p50, found.p90, found.p99, found.max) == (50, 90, 99, 100)
    one = spread([7.0])
    assert one is not None
    assert (one.p50, one.p99) == (7.0, 7.0)
    assert spread([]) is None


def test_rates_have_exact_intervals() -> None:
    """None of 10,000: at most 3.69 per 10,000 (95 %)."""
    none = rate(0, 10_000)
    assert (none.per_10k, none.low) == (0, 0)
    assert none.high == pytest.approx(3.688, abs=0.01)
    three = rate(3, 10_000)
    assert three.low == pytest.approx(0.619, abs=0.01)
    assert three.high == pytest.approx(8.77, abs=0.01)
    unknown = rate(0, 0)
    assert (unknown.low, unknown.high) == (0, 10_000)


def test_failures_by_kind_and_interrupted_ones_apart() -> None:
    found = report(
        good(0),
        good(1, failure=Failure.STATUS, status=503),
        good(2, failure=Failure.CUT),
        Outcome(3, 0.3, 0.0, Failure.INTERRUPTED),
        unsent=4,
    )
    assert found.failures == {"cut": 1, "status 503": 1}
    assert (found.answered, found.interrupted, found.unsent, found.sent) == (1, 1, 4, 4)
    assert found.whole_seconds is not None
    assert found.whole_seconds.count == 1


def test_times_of_a_token_leave_the_first_out() -> None:
    found = report(good(0))
    assert found.per_token_seconds is not None
    assert found.per_token_seconds.p50 == pytest.approx(0.1)
    assert report(good(0, completion_tokens=1)).per_token_seconds is None


def test_anomalies_by_kind_and_cause() -> None:
    """Causes are of the answers whose engine told: here three of four."""
    found = report(
        good(0, verdict="garbled", attempts=2, sanitizer=Sanitizer(foreign=3, writers=("a",))),
        good(1, verdict="repetition", sanitizer=Sanitizer()),
        good(2, sanitizer=Sanitizer(stale=1, foreign=2, writers=("a", "b"))),
        good(3),
    )
    assert {kind: one.count for kind, one in found.anomalies.items()} == {
        "garbled": 1,
        "repetition": 1,
    }
    assert (found.any_anomaly.per_10k, found.retried.count) == (5000, 1)
    assert found.causes is not None
    assert {name: one.count for name, one in found.causes.items()} == {
        "foreign": 2,
        "stale": 1,
        "unready": 0,
        "derived": 0,
        "any": 2,
    }
    assert found.causes["any"].per_10k == pytest.approx(2 / 3 * 1e4)
    assert found.cause_tokens == {"foreign": 5, "stale": 1, "unready": 0, "derived": 0}
    assert found.writers == {"a": 2, "b": 1}


def test_without_a_sanitizer_nothing_is_said_of_causes() -> None:
    assert report(good(0)).causes is None


def test_a_generator_that_cannot_keep_up_says_so() -> None:
    late = [Outcome(n, n * 0.1, 0.3, status=200) for n in range(10)]
    found = report(*late)
    assert found.late == 10
    assert "could not keep up: 10 of 10" in found.warnings[0]
    assert report(good(0)).warnings == []


def test_waiting_and_wrong_lengths_are_warned_of() -> None:
    found = report(good(0, prompt_tokens=80), held=2)
    assert found.input_ratio == 0.8
    assert [warning.split()[0] for warning in found.warnings] == ["2", "prompts"]
    assert report(good(0, prompt_tokens=None)).input_ratio is None


def test_a_report_of_nothing() -> None:
    """Ctrl-C before the first answer."""
    found = report(unsent=5)
    assert (found.answered, found.whole_seconds, found.any_anomaly.high) == (0, None, 10_000)
    assert show(found)


def test_the_terminal_names_what_was_found() -> None:
    sick = good(0, verdict="garbled", sanitizer=Sanitizer(stale=2, writers=("late-write",)))
    said = show(report(sick, good(1, failure=Failure.TIMEOUT), held=1))
    for part in ("garbled", "stale", "late-write", "failed: timeout", "warning: 1 requests"):
        assert part in said


def show(found: Report) -> str:
    console = Console(file=io.StringIO(), width=120)
    show_report(console, found)
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()
