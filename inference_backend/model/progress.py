"""Tells the user how far a slow preparation is. Knows nothing of models."""

import types
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class ProgressSink(Protocol):
    """Is told each time a part of the work begins or moves on."""

    def update(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` parts are finished and ``stage`` runs now."""


class NoProgress:
    """Tells nobody."""

    def update(self, stage: str, done: int, total: int) -> None:
        """Does nothing."""


class ProgressBar:
    """A bar on stderr; it appears with the first update, so that quick loads print nothing."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self._task: TaskID | None = None

    def update(self, stage: str, done: int, total: int) -> None:
        if self._task is None:
            self._progress.start()
            self._task = self._progress.add_task(stage, total=total)
        self._progress.update(self._task, description=stage, completed=done, total=total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._progress.stop()
