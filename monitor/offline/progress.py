"""A bar on standard error, so that standard output stays clean; only on a terminal."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Item = TypeVar("Item")

SHORT_BYTES = 2_000_000  # read in a second or two: no bar


def error_console() -> Console:
    """For everything that is not the result."""
    return Console(stderr=True, highlight=False)


def with_progress(
    items: Iterable[Item],
    name: str,
    total: float | None,
    *,
    is_shown: bool = True,
    console: Console | None = None,
) -> Iterator[Item]:
    """``items`` unchanged, with a bar that knows how much of ``total`` they were.

    Args:
        console: by default standard error.
    """
    console = console or error_console()
    if not (is_shown and console.is_terminal):
        yield from items
        return
    columns = (
        TextColumn(name),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[count]} records"),
    )
    # What is printed meanwhile goes above the bar if both are on one screen; else rich must leave
    # standard output alone: it may be a file, and would get nothing.
    is_one_screen = sys.stdout.isatty()
    with Progress(
        *columns,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        redirect_stdout=is_one_screen,
        redirect_stderr=is_one_screen,
    ) as progress:
        task = progress.add_task(name, total=total, count=0)
        for count, item in enumerate(items, start=1):
            yield item
            progress.update(task, advance=1, count=count)
