"""``specwatch triage``: reads options, finds the incident, shows what came out."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from monitor.ending import fail
from monitor.errors import MonitorError
from monitor.incidents.commands import LOCAL, AdminKey, Where
from monitor.incidents.sources import find_incident, open_source
from monitor.offline.progress import error_console
from monitor.records import Incident
from monitor.triage.request_file import read_request
from monitor.triage.run import Triage, run_triage

HELP = """Sends one incident's request again, alone and under load, and says what is to blame.

**Examples**

    specwatch triage INCIDENT --request body.json

**The request** is not stored with incidents (no text is, and what `--capture-text` keeps is of the
answer): `--request` is the JSON body that the client sent, for `/generate` or `/v1/completions`.
**The target** is the incident's replica, asked directly and not through the proxy, which would
heal what is looked for; it needs `/generate` (SGLang, the integrated engine). The load is made up.

Says how often the answer was anomalous alone and under load, the likely cause with its posterior
probability, which of the engine's numbers go together with anomalies, and what could not be told.
Status 0 with a cause or without one, 2 on bad input.
"""


def triage_command(
    incident: Annotated[
        str, typer.Argument(metavar="INCIDENT", help="Its id, or the beginning of it.")
    ],
    request: Annotated[Path | None, typer.Option(help="JSON body of the request.")] = None,
    where: Where = LOCAL,
    target: Annotated[
        str | None, typer.Option(help="Replica to ask, in place of the incident's.")
    ] = None,
    trials: Annotated[int, typer.Option(min=2, help="Alone, and as many under load.")] = 40,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests of the load.")] = 16,
    admin_key: AdminKey = None,
    api_key: Annotated[
        str | None, typer.Option(help="For the replica.", envvar="SPECWATCH_PROBE_API_KEY")
    ] = None,
) -> None:
    """Read, run, show."""
    try:
        body = read_request(request)
        found = find_incident(open_source(where, admin_key), incident)
        address = target or found.facts.replica
        with Progress(console=error_console(), transient=True) as progress:
            task = progress.add_task("triage", total=2 * trials)
            result = asyncio.run(
                run_triage(
                    address,
                    body,
                    trials=trials,
                    at_once=concurrency,
                    api_key=api_key,
                    told=lambda: progress.advance(task),
                )
            )
    except MonitorError as error:
        raise fail(error) from error
    show(Console(), found, address, result)


def show(console: Console, incident: Incident, address: str, result: Triage) -> None:
    """Tables and sentences."""
    conclusion = result.conclusion
    kind = incident.kind.value
    counts = Table(title=f"incident {incident.id} ({kind}), tried again on {address}")
    for column in ("", "answers", "anomalous", "share (95 %)", "no whole answer"):
        counts.add_column(column)
    for name, part in (
        ("alone", result.alone),
        ("under load", result.loaded),
        ("another request, alone", result.control),
    ):
        trials, (low, high) = part.counts, part.counts.interval
        lost = len(part.trials) - trials.sent
        share = f"{trials.anomalous / max(1, trials.sent):.1%} ({low:.1%} to {high:.1%})"
        counts.add_row(name, str(trials.sent), str(trials.anomalous), share, str(lost))
    console.print(counts)
    sure = "" if conclusion.confidence is None else f" (probability {conclusion.confidence:.3f})"
    console.print(f"Likely cause: {conclusion.cause.value}{sure}", highlight=False)
    console.print(
        f"Higher under load: {conclusion.load_matters:.3f}; "
        f"anomalous by itself: {conclusion.input_matters:.3f}",
        highlight=False,
    )
    for each in result.associations:
        mark = "suspect" if each.is_suspect else "not shown"
        console.print(
            f"{each.subsystem}: {each.quantity} higher at anomalies with chance {each.higher:.2f}, "
            f"p {each.p_value:.3f}: {mark}",
            highlight=False,
        )
    if not result.associations:
        why = "all trials ended alike" if result.tells_numbers else "the engine tells no metrics"
        console.print(f"Which subsystem: not told, {why}", highlight=False)
    for sentence in conclusion.unknown:
        console.print(f"Not told: {sentence}", highlight=False)
