"""The report of a replay on a terminal."""

from rich.console import Console
from rich.table import Table

from monitor.traffic.outcome import CAUSES
from monitor.traffic.report import Rate, Report, Spread


def show_report(console: Console, report: Report) -> None:
    """Two tables, what was counted, and what makes it worth less."""
    console.print(_counts(report))
    console.print(_times(report))
    console.print(_rates(report))
    for name, tokens in sorted(report.cause_tokens.items()):
        if tokens:
            console.print(f"{tokens:,} tokens were computed from {name} cache", markup=False)
    if report.writers:
        named = ", ".join(f"{name} ({count:,})" for name, count in report.writers.items())
        console.print(f"written by: {named}", markup=False)
    for warning in report.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)


def _counts(report: Report) -> Table:
    table = Table("requests", "", title="Replay", title_justify="left")
    table.columns[1].justify = "right"
    rows = [
        ("planned", f"{report.planned:,}"),
        ("sent", f"{report.sent:,} ({report.sent_per_second:,.1f}/s)"),
        ("answered", f"{report.answered:,}"),
        *((f"  failed: {name}", f"{count:,}") for name, count in report.failures.items()),
        ("most at once", f"{report.most_in_flight:,}"),
        ("tokens in, out", f"{report.input_tokens:,}, {report.output_tokens:,}"),
        ("time", f"{report.seconds:,.1f} s"),
    ]
    optional = [
        ("  interrupted", report.interrupted),
        ("never sent", report.unsent),
        ("waited for --max-in-flight", report.held),
        (f"sent over {0.1:g} s late", report.late),
    ]
    rows += [(name, f"{count:,}") for name, count in optional if count]
    if report.input_ratio is not None:
        rows.append(("prompt tokens, of the recorded", f"{report.input_ratio:.1%}"))
    for row in rows:
        table.add_row(*row)
    return table


def _times(report: Report) -> Table:
    table = Table("milliseconds", "50 %", "90 %", "95 %", "99 %", "longest")
    for column in table.columns[1:]:
        column.justify = "right"
    rows = [
        ("to the first token", report.first_token_seconds),
        ("per further token", report.per_token_seconds),
        ("whole answer", report.whole_seconds),
        ("schedule lag", report.lag_seconds),
    ]
    for name, found in rows:
        table.add_row(name, *_cells(found))
    return table


def _cells(found: Spread | None) -> list[str]:
    if found is None:
        return ["-"] * 5
    values = (found.p50, found.p90, found.p95, found.p99, found.max)
    return [f"{value * 1000:,.1f}" for value in values]


def _rates(report: Report) -> Table:
    table = Table("of the answers", "count", "per 10,000", "95 % interval")
    for column in table.columns[1:]:
        column.justify = "right"
    _row(table, "delivered with a finding", report.any_anomaly)
    for kind, found in report.anomalies.items():
        _row(table, f"  {kind}", found)
    _row(table, "more than one attempt", report.retried)
    if report.causes is not None:
        _row(table, "tokens from wrong cache", report.causes["any"])
        for cause in CAUSES:
            _row(table, f"  {cause}", report.causes[cause])
    return table


def _row(table: Table, name: str, found: Rate) -> None:
    interval = f"{found.low:,.2f} to {found.high:,.2f}"
    table.add_row(name, f"{found.count:,}", f"{found.per_10k:,.2f}", interval)
