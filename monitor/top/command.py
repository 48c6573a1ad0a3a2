"""``specwatch top``: looks again and again, and shows. Waits; decides nothing."""

import signal
import sys
import time
from types import FrameType
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.live import Live

from monitor.ending import fail
from monitor.errors import IncidentsUnavailable, MonitorError
from monitor.incidents.client import MonitorClient
from monitor.incidents.commands import LOCAL, AdminKey, output
from monitor.incidents.reading import read_page
from monitor.top.reading import Look, read_counts, read_engines, read_replicas
from monitor.top.screen import View, screen
from monitor.top.window import Window

HELP = """The fleet live in the terminal: replicas, streams, anomalies, acceptance, incidents.

**Examples**

    specwatch top --from http://10.0.0.8:30000
    specwatch top --once                       # prints it and ends, for scripts

Those in trouble stand first. `q` or Ctrl-C leaves. Rates are of the last minute; with `--once`,
since the start.
"""
_TIMEOUT_SECONDS = 3.0
_INCIDENTS = 8


def look_at(client: MonitorClient, at: float) -> Look:
    """One look.

    Raises:
        IncidentsUnavailable: the monitor cannot be reached, or is none.
    """
    pages = {name: client.get(f"/api/{name}") for name in ("replicas", "engine-metrics")}
    metrics = client.get("/metrics") or b""
    newest = client.get("/api/incidents", limit=_INCIDENTS)
    try:
        replicas = read_replicas(pages["replicas"] or b"")
        engines = read_engines(pages["engine-metrics"] or b'{"replicas":{}}')
        counts = read_counts(metrics.decode(errors="replace"), replicas)
        incidents = tuple(read_page(newest or b'{"incidents":[]}').incidents)
    except (msgspec.MsgspecError, ValueError) as error:
        raise IncidentsUnavailable(
            f"{client.address} answers something else: is it `specwatch serve`?"
        ) from error
    return Look(at, replicas, engines, counts, incidents)


def top_command(
    where: Annotated[
        str,
        typer.Option("--from", help="A running monitor (http://…).", envvar="SPECWATCH_FROM"),
    ] = LOCAL,
    refresh_seconds: Annotated[
        float, typer.Option(min=0.1, max=3600.0, help="Pause between two looks.")
    ] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Print one look and end.")] = False,
    admin_key: AdminKey = None,
) -> None:
    """Show the fleet."""
    client = MonitorClient(where, admin_key, _TIMEOUT_SECONDS)
    window = Window()
    try:
        look = look_at(client, time.monotonic())
        window.add(look.at, look.counts)
        if once or not sys.stdout.isatty():
            output().print(screen(View(where, look, window)))
            return
        _show_forever(client, View(where, look, window), refresh_seconds)
    except MonitorError as error:
        raise fail(error) from error
    except KeyboardInterrupt:
        return


def _show_forever(client: MonitorClient, view: View, refresh_seconds: float) -> None:
    # Not everywhere there is termios; the other commands must do without it.
    from monitor.top.keys import single_keys, wait  # noqa: PLC0415

    console = Console(highlight=False)
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        with single_keys() as has_keyboard, Live(console=console, screen=True) as live:
            while True:
                live.update(screen(view_of(view, console.height)), refresh=True)
                if not wait(refresh_seconds, has_keyboard=has_keyboard):
                    return
                view = look_again(client, view)
    finally:
        signal.signal(signal.SIGTERM, before)


def look_again(client: MonitorClient, view: View) -> View:
    """The next view; the old one with what is wrong if the monitor does not answer."""
    try:
        look = look_at(client, time.monotonic())
    except IncidentsUnavailable as error:
        return View(view.where, view.look, view.window, trouble=str(error))
    view.window.add(look.at, look.counts)
    return View(view.where, look, view.window)


def view_of(view: View, height: int) -> View:
    """The same for a screen of this height."""
    return View(view.where, view.look, view.window, view.trouble, height)


def _leave(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM: the terminal is put back on the way out."""
    raise SystemExit(128 + signal.SIGTERM)
