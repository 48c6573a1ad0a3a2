"""From outcomes to the row of a cell."""

import io

from rich.console import Console

from detectors.verdict import AnomalyKind, Verdict
from monitor.ablation.grid import AbortProtocol, Cell, Load, LoadSync, Ratio
from monitor.ablation.show import rate_text, show_reports, warnings_of
from monitor.ablation.tally import Tally
from monitor.interval import clopper_pearson
from monitor.traffic.outcome import Failure, Outcome, Sanitizer

CELL = Cell(AbortProtocol.UNSAFE, LoadSync.FULL, Ratio(2, 1), Load("heavy", 2.0, 3.0))
LOOP = Verdict(AnomalyKind.REPETITION, "repetition", 1.0, 3, 60)
SOUP = Verdict(AnomalyKind.GARBLED, "fusion", 1.0, 3, 40)
SOUND = Sanitizer()


def answer(number: int, sanitizer: Sanitizer | None = SOUND, lag: float = 0.0) -> Outcome:
    return Outcome(
        number, 0.0, lag, status=200, first_token_seconds=0.1 * (number + 1), sanitizer=sanitizer
    )


def failure(number: int, why: Failure, status: int | None = None) -> Outcome:
    return Outcome(number, 0.0, 0.0, why, status)


def test_corrupted_answers_and_findings_are_counted_apart_and_together() -> None:
    tally = Tally(CELL)
    outcomes = [
        answer(0, Sanitizer(stale=1, foreign=2)),
        answer(1, Sanitizer(derived=4)),
        answer(2),
        answer(3),
        failure(4, Failure.STATUS, 503),
        failure(5, Failure.CUT, 200),
    ]
    tally.add(6, outcomes, {0: SOUP, 2: LOOP, 4: LOOP})
    row = tally.report()
    assert (row.requests, row.answered, row.given_up, row.failures) == (6, 4, 1, {"cut": 1})
    assert row.corrupted is not None
    low, high = clopper_pearson(2, 4)
    assert (row.corrupted.count, row.corrupted.low, row.corrupted.high) == (
        *(2, low * 1e4, high * 1e4),
    )
    assert {name: one.count for name, one in row.causes.items()} == {"foreign": 1, "derived": 1}
    assert [(one.detector, one.kind, one.rate.count) for one in row.found] == [
        ("fusion", "garbled", 1),
        ("repetition", "repetition", 1),
    ]
    assert (row.anomalous.count, row.caught) == (2, 1)
    assert row.first_token_seconds is not None
    assert row.first_token_seconds.p50 == 0.2


def test_an_engine_that_tells_no_record_is_not_said_to_be_sound() -> None:
    """A dash, not a zero; and a warning."""
    tally = Tally(CELL)
    tally.add(1, [answer(0, None)], {})
    row = tally.report()
    assert row.corrupted is None
    assert rate_text(row.corrupted) == "-"
    assert warnings_of(row) == ["1 answers came without the sanitizer's record"]


def test_rounds_add_up_and_what_was_interrupted_counts_nowhere() -> None:
    tally = Tally(CELL)
    tally.add(2, [answer(0), answer(1, Sanitizer(foreign=1))], {1: SOUP})
    tally.add(3, [answer(0, lag=0.5), failure(1, Failure.INTERRUPTED)], {})
    row = tally.report()
    assert (row.requests, row.missing, row.late, row.caught) == (3, 2, 1, 1)
    assert [text.split(":")[0] for text in warnings_of(row)] == [
        "interrupted",
        "1 requests were sent late",
    ]


def test_the_table() -> None:
    tally = Tally(CELL)
    tally.add(2, [answer(0, Sanitizer(foreign=1)), answer(1)], {0: SOUP})
    console = Console(width=170, file=io.StringIO(), record=True)
    show_reports(console, [tally.report()])
    shown = " ".join(console.export_text().split())
    for wanted in ("2:1", "5,000.0", "1 foreign", "1 fusion", "1 of 1", "100 / 200"):
        assert wanted in shown
