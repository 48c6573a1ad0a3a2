"""One look at the fleet as it stands on the screen. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from monitor.engine_metrics.names import Quantity
from monitor.incidents.listing import incident_table
from monitor.incidents.plain import number, percent, word
from monitor.top.reading import EngineRow, Look, Replica
from monitor.top.window import Rates, Window

_STATES = {
    "healthy": "green",
    "probing": "yellow",
    "draining": "yellow",
    "tripped": "red",
    "unreachable": "red",
    "quarantined": "bold red",
}
_FRAME_LINES = 8  # head, titles, blank lines, the line of keys
_MOST_INCIDENTS = 8


@dataclass(frozen=True, slots=True)
class View:
    """What is on the screen.

    Attributes:
        where: the monitor's address.
        look: the last one that succeeded.
        trouble: why there is no newer one.
        height: lines of the screen; ``None`` for all there is.
    """

    where: str
    look: Look
    window: Window
    trouble: str | None = None
    height: int | None = None


def screen(view: View) -> Group:
    """The whole screen."""
    look = view.look
    incidents = look.incidents[:_MOST_INCIDENTS]
    room = len(look.replicas)
    if view.height is not None:
        room = max(1, view.height - _FRAME_LINES - max(1, len(incidents)))
    ordered = sorted(look.replicas, key=lambda one: _trouble(one, view.window))
    parts: list[RenderableType] = [_head(view), Text()]
    parts.append(_table(ordered[:room], view))
    if len(ordered) > room:
        parts.append(Text(f"and {len(ordered) - room} more, none in more trouble", "dim"))
    parts += [Text(), Text("Newest incidents", "bold")]
    parts.append(incident_table(incidents) if incidents else Text("none", "dim"))
    return Group(*parts)


def _head(view: View) -> Text:
    look = view.look
    running = sum(one.in_flight or 0 for one in look.replicas)
    healthy = sum(one.state == "healthy" for one in look.replicas)
    covered = view.window.covered_seconds
    over = "since the start" if covered is None else f"of the last {covered:.0f} s"
    text = Text(f"specwatch {word(view.where)}", "bold")
    text.append(
        f"  {healthy} of {len(look.replicas)} replicas healthy, {running:,} streams; rates {over}",
        "not bold",
    )
    if view.trouble is not None:
        text.append(f"\nnot up to date: {word(view.trouble)}", "bold red")
    return text


def _table(replicas: Sequence[Replica], view: View) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("replica", "state", "engine"):
        table.add_column(name, no_wrap=True, overflow="ellipsis")
    for name in ("streams", "waiting", "attempts", "anomalies", "accept", "cache"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("drafter", no_wrap=True)
    for one in replicas:
        engine = view.look.engines.get(one.address, EngineRow())
        table.add_row(*_row(one, engine, view.window.rates(one.address)))
    return table


def _row(one: Replica, engine: EngineRow, rates: Rates) -> list[Text]:
    share = rates.anomaly_share
    state = one.state or ""
    return [
        Text(word(one.address.removeprefix("http://"))),
        Text(word(one.state), _STATES.get(state, "")),
        Text(word(one.engine)),
        Text(number(one.in_flight, 0)),
        Text(number(engine.values.get(Quantity.WAITING), 0)),
        Text(number(rates.attempts, 0)),
        Text("-" if share is None else f"{100 * share:.1f} %", "red" if share else ""),
        Text(number(rates.accept_length)),
        Text(percent(engine.values.get(Quantity.CACHE_USAGE))),
        Text(word(one.draft_health), "red" if one.draft_health == "dead" else ""),
    ]


def _trouble(one: Replica, window: Window) -> tuple[bool, float, str]:
    """Sorts those in trouble first."""
    share = window.rates(one.address).anomaly_share
    return one.state == "healthy", -(share or 0.0), one.address
