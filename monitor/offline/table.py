"""The figures of an evaluation as rows of words. Takes values, prints nothing."""

from collections.abc import Iterator, Sequence

from rich.table import Table

from monitor.offline.evaluate import ALL, Evaluation
from monitor.offline.fixed_rate import RATES
from monitor.offline.scores import PER_ANSWERS, PER_TOKENS, Rate, Score, percentile

COLUMNS = (
    "detector",
    "recordings",
    "recall",
    "false alarms / 10k answers",
    "/ 1M tokens",
    "delay, p95",
    "leaked, p95",
    "held",
    "true loops",
    "µs/token",
    "bytes",
)
LEAST_WIDTH = 168  # of the table; a pipe has 80 columns, too few
NOTES = (
    "recall: found among the damaged that were not in a loop already; false alarms: among answers "
    "with healthy tokens, those before the onset of a damage included. In brackets: count and 95 % "
    "interval (Clopper-Pearson).",
    "delay: tokens from onset to alarm of the found ones. leaked: bad tokens that reach the client "
    "under adaptive hold-back, missed ones included. Median, then p95.",
    "held: healthy tokens that came while the detector was watching. true loops: undamaged texts "
    "that do loop, checked by brute force on token ids (the end is an exact cycle of 3 copies "
    "and 48 tokens, or four fifths of the 4-grams of 128 tokens had been seen before): found as "
    "repetition they are neither hit nor false alarm.",
)


def rows(evaluation: Evaluation) -> Iterator[list[str]]:
    """One for each contender and group; ``all`` only where there are several groups."""
    for name, groups in evaluation.scores.items():
        cost = evaluation.costs.get(name)
        ends = ["", ""] if cost is None else [f"{cost.microseconds:.2f}", f"{cost.stream_bytes:,}"]
        shown = {group: score for group, score in groups.items() if group != ALL}
        if len(shown) > 1:
            shown = {ALL: groups[ALL], **dict(sorted(shown.items()))}
        for number, (group, score) in enumerate(shown.items()):
            cells = [name if number == 0 else "", f"{group} ({len(score.trials)})"]
            yield cells + score_cells(score) + (ends if number == 0 else ["", ""])


def score_cells(score: Score) -> list[str]:
    """From recall to true loops."""
    loops = score.true_loops
    return [
        _percent(score.recall),
        _per(score.false_alarms, PER_ANSWERS),
        _per(score.false_alarms_per_token, PER_TOKENS),
        _middle(score.delays),
        _middle(score.leaks),
        "" if score.held.share is None else f"{score.held.share:.2%}",
        f"{loops.events} of {loops.trials}" if loops.trials else "",
    ]


RATE_NOTES = (
    "Every statistic is compared by its own number, whatever threshold it has in the panel; the "
    "threshold is the lowest that keeps the rate on the undamaged recordings of this table, up to "
    "where they go into a true loop.",
    "recall: first reading above the threshold after the onset, and none before it.",
)
RATE_COLUMNS = (
    "false alarms allowed",
    "statistic",
    "threshold",
    "false alarms",
    "recordings",
    "recall",
    "delay, p95",
)


def rate_rows(evaluation: Evaluation) -> Iterator[list[str]]:
    """Every statistic at the same rates of false alarms; none without damaged recordings."""
    for rate in RATES:
        allowed = f"{rate:g} in 1M tokens"
        for name, readings in evaluation.fixed_rates.items():
            for number, (group, point) in enumerate(readings.points(rate).items()):
                alarms = point.false_alarms
                about = [name, f"{point.threshold:.3g}", f"{alarms.events} in {alarms.trials:,}"]
                yield [
                    allowed if number == 0 else "",
                    *(about if number == 0 else ["", "", ""]),
                    group,
                    _percent(point.recall),
                    _middle(point.delays),
                ]


def rates_table(evaluation: Evaluation, title: str = "") -> Table:
    """For a terminal."""
    table = Table(title=f"{title}at the same rate of false alarms", pad_edge=False)
    for number, column in enumerate(RATE_COLUMNS):
        table.add_column(column, justify="left" if number in {0, 1, 4} else "right")
    for cells in rate_rows(evaluation):
        if cells[0]:
            table.add_section()
        table.add_row(*cells)
    return table


def results_table(evaluation: Evaluation, title: str = "") -> Table:
    """For a terminal."""
    table = Table(title=f"{title}{evaluation.records:,} recordings", pad_edge=False)
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if number < 2 else "right")
    for cells in rows(evaluation):
        if cells[0]:
            table.add_section()
        table.add_row(*cells)
    return table


def _percent(rate: Rate) -> str:
    if rate.share is None:
        return ""
    low, high = rate.interval
    return f"{rate.share:.1%} ({rate.events}/{rate.trials}; {low:.1%}-{high:.1%})"


def _per(rate: Rate, many: int) -> str:
    if rate.share is None:
        return ""
    low, high = rate.interval
    return (
        f"{_short(rate.share * many)} ({rate.events}; {_short(low * many)}-{_short(high * many)})"
    )


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == 0 else f"{value:.2g}"


def _middle(ordered: Sequence[int]) -> str:
    if not ordered:
        return ""
    return f"{percentile(ordered, 50)}, {percentile(ordered, 95)}"
