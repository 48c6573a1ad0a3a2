"""``specwatch incidents`` and ``specwatch explain``. Read options and hand over."""

import sys
import time
from typing import Annotated

import typer
from rich.console import Console

from detectors.verdict import AnomalyKind
from monitor.ending import fail
from monitor.errors import MonitorError
from monitor.incidents.explain import explanation
from monitor.incidents.listing import as_line, incident_table
from monitor.incidents.since import parse_since
from monitor.incidents.sources import MOST, find_incident, open_source
from monitor.records import IncidentFilter

LOCAL = "http://127.0.0.1:30000"

Where = Annotated[
    str,
    typer.Option(
        "--from",
        help="A running monitor (http://…), the Redis that proxies share (redis://…), a file of "
        "JSON lines, or - for standard input.",
        envvar="SPECWATCH_FROM",
    ),
]
AdminKey = Annotated[
    str | None,
    typer.Option(help="The monitor's key, if it has one.", envvar="SPECWATCH_ADMIN_KEY"),
]
_LEAST_WIDTH = 150  # for what is not a terminal: nothing is cut there

INCIDENTS_HELP = """Answers that were found sick, newest first.

**Examples**

    specwatch incidents --since 1h --kind garbled
    specwatch incidents --from redis://10.0.0.9:6379/0 --json > incidents.jsonl

`--json` prints one incident a line, with all that is known of it: `specwatch explain` and
`specwatch report` read such files. Then: `specwatch explain ID`.
"""
EXPLAIN_HELP = """One incident: what was seen step by step, why it was stopped, what was done then.

**Examples**

    specwatch explain 5f0c
    specwatch explain 5f0c --from incidents.jsonl

The beginning of an id is enough if there is only one such. Text is shown only where it was captured
(`specwatch serve --capture-text`) and is still kept.
"""


def output() -> Console:
    """Standard output; wide enough where nobody's terminal limits it."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_LEAST_WIDTH)


def tell_unreadable(count: int) -> None:
    """What was left out, on standard error."""
    if count:
        typer.secho(f"specwatch: {count} unreadable, left out", err=True, fg="yellow")


def tell_cut(where: str, found: int, limit: int) -> None:
    """That a monitor may have more than it tells at once, on standard error."""
    if found == MOST < limit and where.startswith(("http://", "https://")):
        told = f"the newest {MOST:,}: a monitor tells no more at once; --from redis://… does"
        typer.secho(f"specwatch: {told}", err=True, fg="yellow")


def incidents_command(
    kind: Annotated[AnomalyKind | None, typer.Option(help="Only of this kind.")] = None,
    replica: Annotated[str | None, typer.Option(help="Only of this replica's address.")] = None,
    model: Annotated[str | None, typer.Option(help="Only of this model.")] = None,
    since: Annotated[
        str | None, typer.Option(help="15m, 2h, 1d, or a time like 2026-01-31T12:00 (UTC).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON each.")] = False,
    where: Where = LOCAL,
    admin_key: AdminKey = None,
) -> None:
    """List incidents."""
    try:
        wanted = IncidentFilter(
            limit=limit,
            kind=kind,
            replica=replica,
            model=model,
            since=parse_since(since, time.time()),
        )
        loaded = open_source(where, admin_key).incidents(wanted)
    except MonitorError as error:
        raise fail(error) from error
    tell_unreadable(loaded.unreadable)
    tell_cut(where, len(loaded.incidents), limit)
    if as_json:
        for one in loaded.incidents:
            sys.stdout.write(f"{as_line(one)}\n")
    elif loaded.incidents:
        output().print(incident_table(loaded.incidents))
    else:
        typer.echo("no incidents")


def explain_command(
    incident_id: Annotated[
        str, typer.Argument(metavar="ID", help="Of the incident, or its beginning.")
    ],
    where: Where = LOCAL,
    admin_key: AdminKey = None,
) -> None:
    """Explain one incident."""
    try:
        incident = find_incident(open_source(where, admin_key), incident_id)
    except MonitorError as error:
        raise fail(error) from error
    console = output()
    console.print(explanation(incident, console.width))


def register(app: typer.Typer) -> None:
    """Add both commands."""
    app.command("incidents", help=INCIDENTS_HELP)(incidents_command)
    app.command("explain", help=EXPLAIN_HELP)(explain_command)
