"""An event sink that keeps everything."""

import asyncio
from dataclasses import dataclass, field

from retry_proxy.events import AttemptEnded, Event, ReplicaChanged, RequestEnded


@dataclass
class RecordingSink:
    """Keeps events in order."""

    events: list[Event] = field(default_factory=list)
    _has_news: asyncio.Event = field(default_factory=asyncio.Event)

    def emit(self, event: Event) -> None:
        self.events.append(event)
        self._has_news.set()

    async def wait_for_changes(self, count: int) -> None:
        """Returns once replicas changed state so often."""
        async with asyncio.timeout(5):
            while len(self.changes) < count:
                self._has_news.clear()
                await self._has_news.wait()

    @property
    def attempts(self) -> list[AttemptEnded]:
        return [event for event in self.events if isinstance(event, AttemptEnded)]

    @property
    def requests(self) -> list[RequestEnded]:
        return [event for event in self.events if isinstance(event, RequestEnded)]

    @property
    def changes(self) -> list[ReplicaChanged]:
        return [event for event in self.events if isinstance(event, ReplicaChanged)]
