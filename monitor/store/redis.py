"""Shares records between proxies through Redis. An outage loses records here, never requests.

Writes go through a bounded queue and a task of its own. Every call to Redis has tight timeouts and
no retry (with the client's defaults a stopped server holds a call for more than 8 seconds); after
a failure Redis is left alone for a moment, and reads answer from this process's own memory.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from monitor.ports import StoreHealth
from monitor.records import Incident, IncidentFilter, RequestRecord
from monitor.store.breaker import Breaker
from monitor.store.memory import MemoryStore
from monitor.store.redis_records import (
    BATCH,
    KEEP_SECONDS,
    KEEP_TEXT_SECONDS,
    RedisRecords,
)

CALL_TIMEOUT_SECONDS = 0.1
SLOW_CALL_SECONDS = 0.05

Answer = TypeVar("Answer")


def connect(url: str) -> Redis:
    """A client that gives up quickly.

    Raises:
        ValueError: ``url`` is not a Redis address.
    """
    return Redis.from_url(
        url,
        socket_timeout=CALL_TIMEOUT_SECONDS,
        socket_connect_timeout=CALL_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


class RedisStore:
    """Records in Redis, with this process's own in memory behind them.

    Args:
        client: made by ``connect``; closed with the store.
        capacity: incidents kept in the list and in memory.
        keep_seconds: how long a record is kept, and ``text_seconds`` the text in it.
        queue_limit: records waiting to be written; beyond it the oldest is dropped and counted.
        breaker: when to leave Redis alone.
    """

    def __init__(
        self,
        client: Redis,
        capacity: int = 1000,
        keep_seconds: int = KEEP_SECONDS,
        text_seconds: int = KEEP_TEXT_SECONDS,
        queue_limit: int = 10_000,
        breaker: Breaker | None = None,
    ) -> None:
        self.queue_limit = queue_limit
        self.breaker = breaker or Breaker()
        self.dropped = 0
        self._calls = self._slow_calls = 0
        self._seconds = 0.0
        self._client = client
        self._records = RedisRecords(client, capacity, keep_seconds, text_seconds)
        self._local = MemoryStore(capacity, text_seconds)
        self._waiting: deque[tuple[Incident | RequestRecord, bool]] = deque()
        self._has_waiting = asyncio.Event()
        self._is_written = asyncio.Event()
        self._is_written.set()
        self._writer: asyncio.Task[None] | None = None
        self._is_refused = False  # the last write

    def put_incident(self, incident: Incident) -> None:
        """Keep ``incident`` here and queue it for Redis."""
        is_new = not self._local.has_incident(incident.id)
        self._local.put_incident(incident)
        self._enqueue(incident, is_new=is_new)

    def put_request(self, record: RequestRecord) -> None:
        """Keep ``record`` here and queue it for Redis."""
        self._local.put_request(record)
        self._enqueue(record, is_new=True)

    async def incidents(self, wanted: IncidentFilter) -> list[Incident]:
        """Those wanted, newest first; of this process alone while Redis is away.

        A full Redis is read as ever and takes nothing new: what waits for it is told all the same.
        """
        own = await self._local.incidents(wanted)
        found = await self._call(lambda: self._records.incidents(wanted))
        return own if found is None else merged(found, own)[: wanted.limit]

    async def incident(self, incident_id: str) -> Incident | None:
        """One incident: this process's own, or another's from Redis."""
        local = await self._local.incident(incident_id)
        return local or await self._call(lambda: self._records.incident(incident_id))

    async def request(self, request_id: str) -> RequestRecord | None:
        """One request: this process's own, or another's from Redis."""
        local = await self._local.request(request_id)
        return local or await self._call(lambda: self._records.request(request_id))

    def health(self) -> StoreHealth:
        """What the breaker and the queue say. A Redis that takes nothing is not up."""
        return StoreHealth(
            "redis",
            self.breaker.is_up and not self._is_refused,
            self.breaker.failures,
            self.dropped,
            self._calls,
            self._seconds,
            self._slow_calls,
            self.breaker.away_seconds(time.monotonic()),
            self._records.unreadable,
        )

    async def start(self) -> None:
        """Start the writer."""
        self._writer = asyncio.create_task(self._write_forever())

    async def close(self) -> None:
        """Write what waits, once, and stop."""
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
            self._writer = None
        while self._waiting and await self._write_batch():
            pass
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    async def written(self) -> None:
        """Wait until nothing waits to be written."""
        await self._is_written.wait()

    def _enqueue(self, record: Incident | RequestRecord, *, is_new: bool) -> None:
        if len(self._waiting) >= self.queue_limit:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append((record, is_new))
        self._has_waiting.set()
        self._is_written.clear()

    async def _write_forever(self) -> None:
        while True:
            await self._has_waiting.wait()
            if not await self._write_batch():
                await asyncio.sleep(self.breaker.pause_seconds)

    async def _write_batch(self) -> bool:
        """Write some of what waits; on a failure it waits on."""
        batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
        written: bool | None = None
        try:
            written = await self._call(lambda: self._write(batch))
        finally:  # also when cancelled by close, which then writes what waits
            if written is None:
                self._waiting.extendleft(reversed(batch))
        self._is_refused = written is None
        if self._is_refused:
            return False
        if not self._waiting:
            self._has_waiting.clear()
            self._is_written.set()
        return True

    async def _write(self, batch: list[tuple[Incident | RequestRecord, bool]]) -> bool:
        await self._records.write(batch)
        return True

    async def _call(self, work: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Do ``work`` if Redis is worth a try; ``None`` when it is not, or fails."""
        began = time.monotonic()
        if not self.breaker.may_call(began):
            return None
        try:
            answer = await work()
        except (RedisError, OSError, TimeoutError):
            self.breaker.failed(time.monotonic())
            return None
        finally:
            self._note_call(time.monotonic() - began)
        self.breaker.succeeded(time.monotonic())
        return answer

    def _note_call(self, seconds: float) -> None:
        self._calls += 1
        self._seconds += seconds
        self._slow_calls += seconds > SLOW_CALL_SECONDS


def merged(found: list[Incident], own: list[Incident]) -> list[Incident]:
    """Both, newest first; where one is in both, this process knows it best."""
    by_id = {one.id: one for one in (*found, *own)}
    return sorted(by_id.values(), key=lambda one: one.at, reverse=True)
