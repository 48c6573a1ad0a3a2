"""``specwatch report``. Reads options and hands over."""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from detectors.verdict import AnomalyKind
from monitor.ending import fail
from monitor.errors import MonitorError
from monitor.incidents.commands import LOCAL, AdminKey, Where, tell_cut, tell_unreadable
from monitor.incidents.since import parse_since
from monitor.incidents.sources import open_source
from monitor.offline.progress import with_progress
from monitor.records import IncidentFilter
from monitor.report.gather import gather
from monitor.report.page import MOST_ARTICLES, build_articles, page

HELP = """Incidents of a while as one HTML file, to send around: it loads nothing and runs nothing.

**Examples**

    specwatch report --html report.html --since 1d
    specwatch report --html report.html --from incidents.jsonl

Incidents over time by replica, accept lengths by replica, detection delay, cost, a table with
links, and each of the newest incidents step by step. A running monitor also tells the acceptance of
its last healthy attempts. Text is in it only where it was captured and is still kept.
"""
_MOST = 100_000


def report_command(
    html: Annotated[Path, typer.Option("--html", help="File to write.", show_default=False)],
    kind: Annotated[AnomalyKind | None, typer.Option(help="Only of this kind.")] = None,
    replica: Annotated[str | None, typer.Option(help="Only of this replica's address.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    since: Annotated[
        str | None, typer.Option(help="15m, 2h, 1d, or a time like 2026-01-31T12:00 (UTC).")
    ] = None,
    where: Where = LOCAL,
    admin_key: AdminKey = None,
) -> None:
    """Write the report."""
    now = time.time()
    try:
        wanted = IncidentFilter(
            limit=_MOST, kind=kind, replica=replica, model=model, since=parse_since(since, now)
        )
        gathered = gather(open_source(where, admin_key), wanted)
        shown = min(len(gathered.incidents), MOST_ARTICLES)
        articles = with_progress(build_articles(gathered.incidents), "incidents", shown)
        content = page(gathered, list(articles), now)
        html.write_text(content, encoding="utf-8")
    except (MonitorError, OSError) as error:
        raise fail(error) from error
    tell_unreadable(gathered.unreadable)
    tell_cut(where, len(gathered.incidents), _MOST)
    size = html.stat().st_size / 1024
    sys.stderr.write(f"{html}: {len(gathered.incidents):,} incidents, {size:,.0f} KB\n")
