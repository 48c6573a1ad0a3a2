"""Reads a list of replicas again and again. Waits; decides nothing."""

import asyncio
from collections.abc import Callable, Collection

from retry_proxy.fleet.sources.source import ReplicaSource, SourceUnavailable


class Follower:
    """Follows one source.

    Args:
        take: gets the source's name and each list that could be read.
        complain: gets what is wrong, once per message; the last list stays in force.
    """

    def __init__(
        self,
        source: ReplicaSource,
        interval_seconds: float,
        *,
        take: Callable[[str, Collection[str]], None],
        complain: Callable[[str], None],
    ) -> None:
        self._source = source
        self._interval_seconds = interval_seconds
        self._take = take
        self._complain = complain
        self._complaint: str | None = None
        self._is_woken = asyncio.Event()

    def wake(self) -> None:
        """Has the list read at once."""
        self._is_woken.set()

    async def follow(self) -> None:
        """Until cancelled."""
        while True:
            await self._until_news()
            self._is_woken.clear()
            await self.read()

    async def _until_news(self) -> None:
        news = asyncio.create_task(self._source.news(self._interval_seconds))
        woken = asyncio.create_task(self._is_woken.wait())
        try:
            await asyncio.wait((news, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (news, woken):
                task.cancel()
            await asyncio.wait((news, woken))
        if not news.cancelled():
            news.result()

    async def close(self) -> None:
        """Gives back what the source holds."""
        await self._source.close()

    async def read(self) -> None:
        """Reads the list once. An empty one is no list: a mistake must not empty the fleet."""
        try:
            addresses = await self._source.addresses()
            if not addresses:
                raise SourceUnavailable("the list of replicas is empty")
        except SourceUnavailable as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                self._complain(f"{self._source.name}: {error}; the last list stays")
            return
        self._complaint = None
        self._take(self._source.name, addresses)
