"""Fetches the replicas' /metrics again and again. Waits; decides nothing."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from monitor.beside import beside
from monitor.engine_metrics.reading import read_metrics
from monitor.engine_metrics.state import EngineStates
from monitor.ports import ReplicaSource, ReplicaView
from retry_proxy.errors import UpstreamError
from retry_proxy.headers import Headers
from retry_proxy.stream.upstream import Upstream

logger = logging.getLogger("specwatch.engines")

_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 8 * 1024 * 1024
_AT_A_TIME = 16


class ScrapeFailed(Exception):
    """A replica's metrics could not be had; says why."""


class EngineScraper:
    """Keeps ``states`` fresh while it runs.

    Args:
        upstream: the proxy's connections: addresses are checked there.
        interval_seconds: from one round to the next.
        api_key: sent as a bearer token.
    """

    def __init__(
        self,
        fleet: ReplicaSource,
        upstream: Upstream,
        interval_seconds: float,
        api_key: str | None = None,
    ) -> None:
        self.states = EngineStates()
        self._fleet = fleet
        self._upstream = upstream
        self._interval_seconds = interval_seconds
        self._headers: Headers = []
        if api_key is not None:
            self._headers = [("authorization", f"Bearer {api_key}")]
        self._places = asyncio.Semaphore(_AT_A_TIME)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["EngineScraper"]:
        """Scrapes meanwhile."""
        async with beside(self._scrape_forever()):
            yield self

    async def scrape(self) -> None:
        """One round over all replicas."""
        replicas: Sequence[ReplicaView] = self._fleet.snapshot()
        self.states.keep_only(frozenset(one.address for one in replicas))
        await asyncio.gather(*(self._scrape_one(one) for one in replicas if one.engine))

    async def _scrape_forever(self) -> None:
        while True:
            try:
                await self.scrape()
            except Exception:  # the supervisor of this task: the next round may go well
                logger.exception("a round of engine metrics failed")
            await asyncio.sleep(self._interval_seconds)

    async def _scrape_one(self, replica: ReplicaView) -> None:
        engine = replica.engine or ""
        try:
            async with self._places:
                text = await self._fetch(replica.address)
            reading = read_metrics(text, engine)
            if reading.is_empty:
                raise ScrapeFailed("its /metrics has none of the known names")
        except ScrapeFailed as error:
            self._tell_failure(replica.address, str(error))
            self.states.fail(replica.address, engine, str(error))
        else:
            self.states.take(replica.address, engine, reading, time.monotonic())

    async def _fetch(self, address: str) -> str:
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                response = await self._upstream.open(
                    "GET",
                    f"{address}/metrics",
                    headers=self._headers,
                    body=None,
                    timeout_seconds=_TIMEOUT_SECONDS,
                )
                try:
                    body = await response.read(_MAX_BYTES)
                finally:
                    response.close()
        except TimeoutError as error:
            raise ScrapeFailed(f"no metrics within {_TIMEOUT_SECONDS:g} s") from error
        except UpstreamError as error:
            raise ScrapeFailed(str(error)) from error
        if response.status != 200:
            raise ScrapeFailed(f"/metrics was answered with status {response.status}")
        return body.decode(errors="replace")

    def _tell_failure(self, address: str, error: str) -> None:
        known = self.states.replicas.get(address)
        if known is None or known.error != error:
            logger.info("no engine metrics of %s: %s", address, error)
