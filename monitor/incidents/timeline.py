"""The attempts of a request on one axis of time. For the terminal."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from monitor.incidents.plain import number, word
from monitor.records import AttemptFacts

OUTCOME_STYLES = {
    "completed": "green",
    "marked": "yellow",
    "anomaly": "red",
    "outrun": "dim",
    "client_gone": "dim",
}
_BAR = 24


def place(
    began: float, seconds: float, start: float, end: float, width: int = _BAR
) -> tuple[int, int]:
    """First cell and number of cells (at least one) of a bar on an axis of ``width`` cells."""
    whole = max(end - start, 1e-9)
    first = min(width - 1, max(0, int((began - start) / whole * width)))
    cells = max(1, round(seconds / whole * width))
    return first, min(cells, width - first)


def timeline(attempts: Sequence[AttemptFacts], marked_rid: str) -> Table:
    """One row each; the one that the incident was is marked."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "#", "replica", "outcome", "tokens", "seconds", "", "what happened"):
        right = name in {"tokens", "seconds"}
        table.add_column(
            name, justify="right" if right else "left", no_wrap=name != "what happened"
        )
    start = min(one.started_at for one in attempts)
    end = max(one.started_at + (one.duration_seconds or 0.0) for one in attempts)
    for one in attempts:
        first, cells = place(one.started_at, one.duration_seconds or 0.0, start, end)
        style = OUTCOME_STYLES.get(one.outcome.value, "red")
        table.add_row(
            "→" if one.rid == marked_rid else " ",
            f"{one.attempt}{' hedge' if one.is_hedge else ''}",
            Text(word(one.replica)),
            Text(one.outcome.value, style),
            number(one.completion_tokens, 0),
            number(one.duration_seconds),
            Text(" " * first + "━" * cells, style),
            Text(_what(one)),
        )
    return table


def _what(one: AttemptFacts) -> str:
    if one.verdict is not None:
        seen = f"{one.verdict.kind.value} by {word(one.verdict.detector)}"
        return f"{seen} at token {one.verdict.alarm_token:,}"
    return "" if one.error is None else word(one.error)
