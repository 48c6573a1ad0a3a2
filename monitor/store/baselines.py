"""Learned baselines that all proxies in front of one fleet share through Redis.

One hash, a field for each baseline, and a number that grows whenever one is written. A proxy looks
at the number and reads the rest only when it has changed. While Redis is away, and where it holds
something else, a proxy goes on with what it knows.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import msgspec
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from detectors.acceptance.baseline import AcceptanceBaseline
from detectors.acceptance.library import BaselineLibrary
from monitor.errors import SharingFailed
from monitor.store.breaker import Breaker

logger = logging.getLogger("specwatch.baselines")

BASELINES = "specwatch:baselines"
VERSION = "specwatch:baselines:version"
_MOST_BASELINES = 1000
_MOST_DRAFTS = 64
_LONGEST_NAME = 500
_PUBLISH_TIMEOUT_SECONDS = 5.0

Take = Callable[[Iterable[AcceptanceBaseline]], None]


def field_of(baseline: AcceptanceBaseline) -> str:
    """What it is for; a later one for the same replaces it."""
    limit = "any" if baseline.max_temperature is None else f"{baseline.max_temperature:g}"
    names = baseline.model.lower(), baseline.engine.lower()
    return "|".join((*names, str(baseline.num_drafts), limit))


def publish(url: str, learned: BaselineLibrary) -> int:
    """Writes baselines for all proxies that use this Redis; returns how many.

    Raises:
        SharingFailed: it cannot be reached, or holds something else under this name.
    """
    try:
        client = BlockingRedis.from_url(
            url,
            socket_timeout=_PUBLISH_TIMEOUT_SECONDS,
            socket_connect_timeout=_PUBLISH_TIMEOUT_SECONDS,
        )
    except ValueError as error:
        raise SharingFailed(f"redis: {error}") from error
    found = {field_of(one): msgspec.msgpack.encode(one) for one in learned}
    try:
        with client, client.pipeline(transaction=True) as pipeline:
            for name, value in found.items():
                pipeline.hset(BASELINES, name, value)
            pipeline.incr(VERSION)
            pipeline.execute()
    except (RedisError, OSError) as error:
        raise SharingFailed(f"the baselines cannot be shared: {error}") from error
    return len(found)


class RedisBaselines:
    """Looks for new baselines once a second.

    Args:
        client: made by ``connect`` (tight timeouts, no retries); closed at the end.
        take: gets all of those that are good, whenever one of them may be new.

    Attributes:
        refused: values so far that are no baseline, and keys of another type.
    """

    def __init__(
        self,
        client: Redis,
        take: Take,
        *,
        interval_seconds: float = 1.0,
        breaker: Breaker | None = None,
    ) -> None:
        self.refused = 0
        self.breaker = breaker or Breaker()
        self._client = client
        self._take = take
        self._interval_seconds = interval_seconds
        self._version: object = None
        self._has_complained = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Looks meanwhile."""
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            with contextlib.suppress(RedisError, OSError):
                await self._client.aclose()

    async def look(self) -> bool:
        """Looks once; whether something was taken."""
        if not self.breaker.may_call(time.monotonic()):
            return False
        try:
            values = await self._read_new()
        except ResponseError as error:
            self.breaker.succeeded(time.monotonic())
            if not self._has_complained:
                self._has_complained = True
                self._refuse(f"Redis does not hold baselines there: {error}")
            return False
        except (RedisError, OSError, TimeoutError):
            self.breaker.failed(time.monotonic())
            return False
        self.breaker.succeeded(time.monotonic())
        self._has_complained = False
        if values is None:
            return False
        good = [one for one in map(self._checked, values) if one is not None]
        if good:
            self._take(good)
            logger.info("%d shared baselines in force", len(good))
        return bool(good)

    async def _run(self) -> None:
        while True:
            await self.look()
            await asyncio.sleep(self._interval_seconds)

    async def _read_new(self) -> list[bytes] | None:
        """All values, if the number has changed; none there means that nothing was ever shared."""
        version = await self._client.get(VERSION)
        if version is None or version == self._version:
            return None
        if await self._client.hlen(BASELINES) > _MOST_BASELINES:
            raise ResponseError(f"more than {_MOST_BASELINES} of them")
        values = await self._client.hvals(BASELINES)
        self._version = version
        return [value for value in values if isinstance(value, bytes)]

    def _checked(self, value: bytes) -> AcceptanceBaseline | None:
        try:
            found = msgspec.msgpack.decode(value, type=AcceptanceBaseline)
            check_baseline(found)
        except (msgspec.DecodeError, msgspec.ValidationError, ValueError, TypeError) as error:
            self._refuse(f"a shared baseline is none: {error}")
            return None
        return found

    def _refuse(self, reason: str) -> None:
        self.refused += 1
        logger.warning("%s; what was known stays", reason)


def check_baseline(found: AcceptanceBaseline) -> None:
    """Raises ``ValueError`` for what no ``specwatch calibrate`` has learned."""
    if not 1 <= found.num_drafts <= _MOST_DRAFTS or found.requests < 1:
        raise ValueError("drafts or requests are out of range")
    if max(len(found.model), len(found.engine)) > _LONGEST_NAME:
        raise ValueError("a name is too long")
    limit = found.max_temperature
    if limit is not None and not 0 <= limit < math.inf:
        raise ValueError("the temperature is out of range")
    for name in ("histogram", "floor", "ceiling"):
        law = getattr(found, name)
        if len(law) != found.num_drafts + 1:
            raise ValueError(f"{name} needs {found.num_drafts + 1} shares, one a count")
        if not all(0 < share <= 1 for share in law) or not math.isclose(sum(law), 1, abs_tol=1e-3):
            raise ValueError(f"{name} is no distribution")
