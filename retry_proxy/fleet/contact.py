"""Talks to replicas for the fleet: asks what they are, sends aborts. Waits; decides nothing."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec

from retry_proxy.config import ProxyConfig
from retry_proxy.engines.adapter import AbortCall, EngineAdapter
from retry_proxy.engines.detect import build_adapter, describe
from retry_proxy.errors import ConnectFailed, UpstreamError
from retry_proxy.fleet.health import fetch_answers
from retry_proxy.fleet.replica import Replica
from retry_proxy.stream.upstream import Upstream


class Contact:
    """The connections to all replicas, and work that outlives the request that asked for it."""

    def __init__(self, config: ProxyConfig, upstream: Upstream) -> None:
        self._config = config
        self.upstream = upstream
        self._background: set[asyncio.Task[Any]] = set()

    async def adapter(self, replica: Replica) -> EngineAdapter:
        """The replica's adapter; asks the replica on first use.

        Who comes meanwhile shares the answer, a failure too: in turn, each would wait longer.

        Raises:
            ConnectFailed: it cannot be asked.
        """
        if replica.adapter is not None:
            return replica.adapter
        if replica.probing is None:
            replica.probing = asyncio.create_task(self._ask(replica))
            self._keep(replica.probing)
        found = await asyncio.shield(replica.probing)
        if isinstance(found, ConnectFailed):
            raise ConnectFailed(str(found)) from found
        return found

    async def settle(self) -> None:
        """Waits for background work (aborts, draining of ended streams)."""
        while self._background:
            await asyncio.gather(*self._background)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs work that must outlive the request that asked for it."""
        self._keep(asyncio.create_task(work))

    def send_abort(
        self, replica: Replica, abort: AbortCall, headers: list[tuple[str, str]]
    ) -> None:
        """Tells the engine in the background to stop a generation."""
        self.spawn(self._abort(replica, abort, headers))

    async def _ask(self, replica: Replica) -> EngineAdapter | ConnectFailed:
        try:
            answers = await fetch_answers(
                self.upstream,
                replica.address,
                self._config.probe_timeout_seconds,
                api_key=self._config.probe_api_key or self._config.engine_api_key,
                wanted=self._config.engine,
            )
        except ConnectFailed as error:
            return error
        finally:
            replica.probing = None
        replica.adapter = build_adapter(describe(answers, self._config.engine))
        return replica.adapter

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _abort(
        self, replica: Replica, abort: AbortCall, headers: list[tuple[str, str]]
    ) -> None:
        try:
            response = await self.upstream.open(
                "POST",
                replica.address + abort.path,
                headers=[*headers, ("content-type", "application/json")],
                body=msgspec.json.encode(abort.body),
                timeout_seconds=self._config.abort_timeout_seconds,
            )
        except UpstreamError as error:
            replica.last_error = f"abort failed: {error}"
            return
        if response.status >= 400:
            replica.last_error = f"abort was answered with status {response.status}"
        response.close()
