"""What an ablation shows while it runs: a bar on a terminal, else a line for each cell."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from monitor.ablation.grid import Cell
from monitor.ablation.tally import Tally
from monitor.traffic.outcome import Failure, Outcome

_DETAIL_CHARACTERS = 50


class Progress:
    """Use as a context manager.

    Args:
        runs: cells times rounds.

    Attributes:
        ended_requests: in all.
    """

    def __init__(self, console: Console, runs: int) -> None:
        self._console, self._runs, self._run = console, runs, 0
        self._corrupted = self._failed = 0
        self.ended_requests = 0
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[state]}[/dim]"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=1, state="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def begin(self, cell: Cell, requests: int) -> None:
        """A cell's turn."""
        self._run += 1
        self._corrupted = self._failed = 0
        name = escape(f"{self._run}/{self._runs} {cell}")
        self._bar.reset(self._task, total=requests, description=name, state="starting")

    def starting(self, line: str) -> None:
        """Its engine starts; its log's newest line."""
        self._bar.update(self._task, state=escape(f"starting: {line[:_DETAIL_CHARACTERS]}"))

    def ended(self, outcome: Outcome) -> None:
        """One request ended."""
        self.ended_requests += 1
        if outcome.failure is not Failure.INTERRUPTED:
            self._failed += outcome.failure is not None
            self._corrupted += bool(outcome.sanitizer and outcome.sanitizer.causes)
        state = f"{self._corrupted:,} corrupted, {self._failed:,} without an answer"
        self._bar.update(self._task, advance=1, state=state)

    def end(self, tally: Tally) -> None:
        """The cell's turn is over. ``tally``: all of its rounds so far."""
        if not self._console.is_terminal:
            self._console.print(
                f"{self._run}/{self._runs} {tally.cell}: {tally.requests:,} requests, "
                f"{tally.causes.total():,} corrupted, {tally.given_up:,} given up",
                markup=False,
                soft_wrap=True,
            )
