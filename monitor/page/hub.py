"""One picture of the fleet for all who look: built once, at most twice a second, and only then.

Viewers share a ring of the last changes. One that reads too slowly for it, or that was away for
longer than it reaches back, gets the whole picture again: no queue grows.
"""

import asyncio
import contextlib
import logging
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec

from monitor.page.difference import Tables, difference

KEPT_CHANGES = 16
INTERVAL_SECONDS = 0.5
MOST_VIEWERS = 32

logger = logging.getLogger("specwatch.page")


class TooManyViewers(Exception):
    """There is no place left; the message says how many there are."""


class Hub:
    """The last picture, and the changes that led to it.

    Attributes:
        sequence: number of the last change; 0 before the first picture.
        viewers: how many look now.
    """

    def __init__(
        self,
        build: Callable[[], Awaitable[Tables]],
        *,
        is_leaving: Callable[[], bool] = lambda: False,
        interval_seconds: float = INTERVAL_SECONDS,
        most_viewers: int = MOST_VIEWERS,
    ) -> None:
        self._build = build
        self._is_leaving = is_leaving
        self._interval_seconds = interval_seconds
        self._most_viewers = most_viewers
        self._epoch = secrets.token_hex(4)  # ids of an earlier process mean nothing here
        self._tables: Tables = {}
        self._changes: deque[bytes] = deque(maxlen=KEPT_CHANGES)
        self._whole: tuple[int, bytes] | None = None  # encoded once for all who need it
        self._built_at = -interval_seconds
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.sequence = 0
        self.viewers = 0

    def join(self, last_event_id: str | None = None) -> "Viewer":
        """A viewer, who goes on after the event that it had last, if that is still known.

        Raises:
            TooManyViewers: it has to come back later.
        """
        if self.viewers >= self._most_viewers:
            raise TooManyViewers(f"{self.viewers} pages are open already")
        self.viewers += 1
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return Viewer(self, self._sequence_of(last_event_id))

    async def leave(self) -> None:
        """One viewer less; with the last one the work ends."""
        self.viewers -= 1
        task = self._task
        if self.viewers == 0 and task is not None:
            self._task = None
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    @property
    def is_over(self) -> bool:
        """The process is about to stop."""
        return self._is_leaving()

    def since(self, sequence: int | None) -> tuple[int, bytes] | None:
        """What a viewer who had event number ``sequence`` lacks, and the number it then has.

        ``None`` if it lacks nothing, or there is nothing yet.
        """
        if self.sequence in (0, sequence):
            return None
        if sequence is not None and self.sequence - len(self._changes) <= sequence < self.sequence:
            missing = list(self._changes)[sequence - self.sequence :]
            return self.sequence, b"".join(missing)
        return self.sequence, self._picture()

    async def wait(self, seconds: float) -> None:
        """Until something changes, or for so long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    async def _run(self) -> None:
        while True:
            pause = self._built_at + self._interval_seconds - time.monotonic()
            await asyncio.sleep(max(0.0, pause))
            self._built_at = time.monotonic()
            try:
                await self._look()
            except Exception:  # the supervisor: the next look may go well
                logger.exception("the page's picture could not be built")

    async def _look(self) -> None:
        tables = await self._build()
        change = difference(self._tables, tables)
        self._tables = tables
        if change or self._is_leaving():
            self._tell(change)

    def _tell(self, change: object) -> None:
        self.sequence += 1
        self._changes.append(self._event("change", change))
        self._whole = None
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _picture(self) -> bytes:
        if self._whole is None or self._whole[0] != self.sequence:
            self._whole = (self.sequence, self._event("picture", self._tables))
        return self._whole[1]

    def _event(self, name: str, data: object) -> bytes:
        """In JSON no line end stands as it is."""
        body = msgspec.json.encode({"at": round(time.time(), 1), "tables": data})
        return b"id: %b:%d\nevent: %b\ndata: %b\n\n" % (
            self._epoch.encode(),
            self.sequence,
            name.encode(),
            body,
        )

    def _sequence_of(self, event_id: str | None) -> int | None:
        epoch, _, number = (event_id or "").partition(":")
        is_ours = epoch == self._epoch and number.isascii() and number.isdigit()
        return int(number[:12]) if is_ours else None


class Viewer:
    """One open page."""

    def __init__(self, hub: Hub, sequence: int | None) -> None:
        self._hub = hub
        self._sequence = sequence

    async def next(self, seconds: float) -> bytes | None:
        """The next events; empty if nothing changed for so long, ``None`` when it is over."""
        found = self._hub.since(self._sequence)
        if found is None:
            if self._hub.is_over:
                return None
            await self._hub.wait(seconds)
            found = self._hub.since(self._sequence)
        if self._hub.is_over:
            return None
        if found is None:
            return b""
        self._sequence, data = found
        return data

    async def leave(self) -> None:
        """Gives the place back."""
        await self._hub.leave()
