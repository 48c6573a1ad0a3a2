"""Incidents as a table on the terminal, and as JSON lines."""

from collections.abc import Sequence

import msgspec
from rich.table import Table
from rich.text import Text

from monitor.incidents.plain import moment, number, word
from monitor.records import Incident

KIND_STYLES = {"garbled": "red", "repetition": "yellow", "rare_char": "magenta"}


def as_line(incident: Incident) -> str:
    """One line of JSON, as ``explain --from`` and ``report --from`` read it."""
    return msgspec.json.encode(incident).decode()


def incident_table(incidents: Sequence[Incident]) -> Table:
    """One row each, in the given order."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("time (UTC)", "kind", "detector", "replica", "model"):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for name in ("accept", "onset", "alarm"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("request", no_wrap=True)
    table.add_column("id", no_wrap=True, min_width=34)
    for one in incidents:
        table.add_row(*_row(one))
    return table


def _row(one: Incident) -> list[Text]:
    verdict, facts = one.facts.verdict, one.facts
    cells = [
        moment(one.at),
        one.kind.value,
        word(None if verdict is None else verdict.detector),
        word(facts.replica.removeprefix("http://")),
        word(facts.model),
        number(facts.accept_length),
        number(None if verdict is None else verdict.onset_token, 0),
        number(None if verdict is None else verdict.alarm_token, 0),
        "running" if one.request is None else word(one.request.outcome),
        word(one.id),
    ]
    row = [Text(cell) for cell in cells]  # Text: nothing in them is markup
    row[1].stylize(KIND_STYLES.get(one.kind.value, ""))
    return row
