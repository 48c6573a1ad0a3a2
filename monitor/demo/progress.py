"""What the demo shows while it works: a spinner while a part starts, a bar while it asks."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from monitor.demo.judge import STOPPED_BY_VERDICT, Answer

DETAIL_CHARACTERS = 60


@contextmanager
def starting(console: Console, name: str) -> Iterator[Callable[[str], None]]:
    """A spinner until the part is ready, then one line that stays."""
    started = time.monotonic()
    with console.status(f"starting {name} ...") as status:

        def tell(detail: str) -> None:
            shown = escape(detail[:DETAIL_CHARACTERS])
            status.update(f"starting {name} ... [dim]{shown}[/dim]")

        yield tell
    console.print(f"{name} is ready ({time.monotonic() - started:.1f} s)", highlight=False)


class PhaseBar:
    """A bar over the requests of one phase, with what was stopped and done again so far."""

    def __init__(self, console: Console, name: str, count: int) -> None:
        self._console = console
        self._name = name
        self._stopped = 0
        self._retries = 0
        self._ended = 0
        self._progress = Progress(
            TextColumn(f"{name:<16}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("[dim]{task.fields[detail]}[/dim]"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task = self._progress.add_task(name, total=count, detail="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.update(self._task, total=self._ended)
        self._progress.stop()

    def ended(self, answer: Answer) -> None:
        """One more request is over."""
        self._ended += 1
        self._stopped += sum(one.outcome == STOPPED_BY_VERDICT for one in answer.attempts)
        self._retries += max(0, len(answer.attempts) - 1)
        detail = f"{self._stopped} stopped, {self._retries} retried" if self._stopped else ""
        self._progress.update(self._task, advance=1, detail=detail)
