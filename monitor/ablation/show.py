"""The table of an ablation on a terminal."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from monitor.ablation.grid import Cell
from monitor.ablation.tally import CellReport
from monitor.traffic.report import Rate, Spread

_WIDTH = 170  # where there is no terminal: nothing is cut in a file
_LATE_SHARE = 0.01
_RIGHT = frozenset({"requests", "given up", "corrupted", "anomalous", "caught", "first token, ms"})


def result_console() -> Console:
    """For the table: standard output, as wide as it needs to be in a file."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDTH)


def show_grid(console: Console, cells: Sequence[Cell], requests: int) -> None:
    """What would be run."""
    table = Table("abort protocol", "load sync", "P:D", "load", "requests a second", "requests")
    for cell in cells:
        load = cell.load
        rate = f"{load.rate:g}" if load.burst == 1 else f"{load.rate:g}, bursts x{load.burst:g}"
        row = (cell.protocol.value, cell.sync.value, str(cell.ratio), load.name, rate)
        table.add_row(*row, f"{requests:,}")
    console.print(table)
    console.print(f"{len(cells)} cells, {requests * len(cells):,} requests", markup=False)


def show_reports(console: Console, reports: Sequence[CellReport]) -> None:
    """One row a cell, then what makes the numbers worth less."""
    table = Table(
        *("abort protocol", "load sync", "P:D", "load", "requests", "given up", "corrupted"),
        *("by cause", "anomalous", "by detector and kind", "caught", "first token, ms"),
        title="per 10,000 answers (95 % interval); first token: 50 % / 99 %",
        title_justify="left",
    )
    for column in table.columns:
        column.justify = "right" if column.header in _RIGHT else "left"
    for report in reports:
        table.add_row(*_row(report))
    console.print(table)
    for report in reports:
        for warning in warnings_of(report):
            console.print(f"warning: {_name(report)}: {warning}", style="yellow", markup=False)


def _row(report: CellReport) -> list[str]:
    found = {f"{one.detector} {one.kind}": one.rate for one in report.found}
    corrupted = None if report.corrupted is None else report.corrupted.count
    return [
        report.abort_protocol,
        report.load_sync,
        f"{report.prefills}:{report.decodes}",
        report.load,
        f"{report.requests:,}",
        f"{report.given_up:,}",
        rate_text(report.corrupted),
        _counts(report.causes),
        rate_text(report.anomalous if report.answered else None),
        _counts(found),
        f"{report.caught:,} of {corrupted:,}" if corrupted else "-",
        _milliseconds(report.first_token_seconds),
    ]


def rate_text(rate: Rate | None) -> str:
    """``12.5 (0.3 to 69.4)``; a dash where nothing was measured."""
    return "-" if rate is None else f"{rate.per_10k:,.1f} ({rate.low:,.1f} to {rate.high:,.1f})"


def _counts(rates: Mapping[str, Rate]) -> str:
    return ", ".join(f"{rate.count:,} {name}" for name, rate in rates.items()) or "-"


def _milliseconds(found: Spread | None) -> str:
    return "-" if found is None else f"{found.p50 * 1e3:,.0f} / {found.p99 * 1e3:,.0f}"


def _name(report: CellReport) -> str:
    ratio = f"{report.prefills}:{report.decodes}"
    return ", ".join((report.abort_protocol, report.load_sync, ratio, report.load))


def warnings_of(report: CellReport) -> list[str]:
    """What the reader must know before believing a row."""
    found = []
    if report.missing:
        found.append(f"interrupted: {report.missing:,} requests are missing")
    if report.failures:
        named = ", ".join(f"{count:,} {name}" for name, count in report.failures.items())
        found.append(f"without an answer for another reason: {named}")
    if report.late > report.requests * _LATE_SHARE:
        found.append(f"{report.late:,} requests were sent late: the load was lighter than planned")
    if report.told < report.answered:
        untold = report.answered - report.told
        found.append(f"{untold:,} answers came without the sanitizer's record")
    return found
