"""Carries what proxies tell each other through Redis, beside the requests and never in their way.

One key for each proxy, which expires: a proxy that is gone is heard no more. While Redis is away
every proxy goes on with what it knows itself.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from monitor.store.breaker import Breaker
from monitor.store.redis_records import as_text
from retry_proxy.fleet.gossip import Told

PROXIES = "specwatch:proxies"  # sorted set: a proxy's id -> unix time at which it was heard last
EXPIRY_SECONDS = 10
_MOST_PROXIES = 1000


class Talker(Protocol):
    """The fleet, to other proxies."""

    def shared(self) -> Told: ...
    def hear(self, peers: Mapping[str, Told]) -> None: ...


class RedisExchange:
    """Tells and hears once a second.

    Args:
        client: made by ``connect`` (tight timeouts, no retries); closed at the end.
    """

    def __init__(
        self,
        client: Redis,
        fleet: Talker,
        *,
        interval_seconds: float = 1.0,
        breaker: Breaker | None = None,
    ) -> None:
        self.me = uuid.uuid4().hex
        self.breaker = breaker or Breaker()
        self._client = client
        self._fleet = fleet
        self._interval_seconds = interval_seconds

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs meanwhile; takes back at the end what was told."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            with contextlib.suppress(RedisError, OSError):
                await self._client.zrem(PROXIES, self.me)
                await self._client.delete(_key(self.me))
            with contextlib.suppress(RedisError, OSError):
                await self._client.aclose()

    async def talk(self) -> bool:
        """Tells and hears once; whether Redis was there."""
        if not self.breaker.may_call(time.monotonic()):
            return False
        try:
            peers = await self._exchange(time.time())
        except (RedisError, OSError, TimeoutError):
            self.breaker.failed(time.monotonic())
            return False
        self.breaker.succeeded(time.monotonic())
        self._fleet.hear(peers)
        return True

    async def _run(self) -> None:
        while True:
            await self.talk()
            await asyncio.sleep(self._interval_seconds)

    async def _exchange(self, now: float) -> dict[str, Told]:
        pipeline = self._client.pipeline(transaction=False)
        told = msgspec.msgpack.encode(self._fleet.shared())
        pipeline.set(_key(self.me), told, ex=EXPIRY_SECONDS)
        pipeline.zadd(PROXIES, {self.me: now})
        # By Redis' members alone: the clocks of two machines may be a few seconds apart.
        pipeline.zremrangebyscore(PROXIES, "-inf", now - 6 * EXPIRY_SECONDS)
        pipeline.zrange(PROXIES, 0, _MOST_PROXIES - 1)
        members = [as_text(one) for one in (await pipeline.execute())[-1]]
        others = [one for one in members if one != self.me]
        if not others:
            return {}
        values = await self._client.mget([_key(one) for one in others])
        heard = {one: _decode(value) for one, value in zip(others, values, strict=True)}
        return {one: told for one, told in heard.items() if told is not None}


def _key(proxy: str) -> str:
    return f"specwatch:proxy:{proxy}"


def _decode(value: object) -> Told | None:
    """``None`` for a proxy that is gone, or of a version that this one does not read."""
    if not isinstance(value, bytes):
        return None
    try:
        return msgspec.msgpack.decode(value, type=Told)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
