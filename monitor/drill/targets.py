"""The parts that a drill talks to, over HTTP. Waits; decides nothing."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from monitor.drill.answers import (
    AlertsAnswer,
    Faults,
    Info,
    Labelled,
    QueryAnswer,
    Replicas,
    Story,
)
from monitor.errors import DrillFailed
from monitor.incidents.reading import read_page
from monitor.records import Incident

ANOMALIES = "specwatch_anomalies_total"
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_ANSWER = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=120)
_PROMPT = "Explain in detail how a computer network carries a message from one place to another."


Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class Alert:
    """One that fires; ``replica`` is ``""`` where it is about the fleet."""

    name: str
    replica: str


class Target:
    """One base address with its key.

    Args:
        what: its name in messages.
    """

    def __init__(
        self, session: aiohttp.ClientSession, what: str, address: str, key: str | None = None
    ) -> None:
        self.address = address.rstrip("/")
        self._session = session
        self._what = what
        self._headers = {} if key is None else {"authorization": f"Bearer {key}"}

    async def get(
        self, path: str, kind: type[Told], query: Mapping[str, str] | None = None
    ) -> Told:
        """The JSON there.

        Raises:
            DrillFailed: no connection, another status than 200, or something else is there.
        """
        body = await self.page(path, query)
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise self.something_else(path, error) from error

    async def page(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """The page there. Raises as ``get``."""
        async with self._answer("GET", path, params=query) as response:
            return await response.read()

    def something_else(self, path: str, error: Exception) -> DrillFailed:
        """Another server than it should be."""
        url = f"{self.address}{path}"
        return DrillFailed(f"{url} is not what a {self._what} answers: {error}")

    async def post(self, path: str, body: object) -> None:
        """Raises as ``get``."""
        async with self._answer("POST", path, json=body):
            pass

    @asynccontextmanager
    async def _answer(
        self, method: str, path: str, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        url = f"{self.address}{path}"
        try:
            async with self._session.request(
                method, url, headers=self._headers, timeout=_TIMEOUT, **more
            ) as response:
                if response.status != 200:
                    told = " ".join((await response.text())[:300].split())
                    raise DrillFailed(f"{self._what}: {url} answers {response.status}: {told}")
                yield response
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise DrillFailed(f"{self._what}: {url}: {error or type(error).__name__}") from error


class Backend(Target):
    """The replica that falls ill."""

    async def check(self) -> None:
        """It is one of ours, lets us in, and nobody else drills.

        Raises:
            DrillFailed: one of these is not so; the message says which.
        """
        try:
            info = await self.get("/server_info", Info)
        except DrillFailed as error:
            raise DrillFailed(
                f"{error}: faults can be switched on in `specwatch backend` alone"
            ) from error
        if info.engine != "specwatch":
            raise DrillFailed(
                f"{self.address} is no `specwatch backend`: only that has faults to switch on"
            )
        if (await self.get("/faults", Faults)).plan is not None:
            raise DrillFailed(f"a fault is on already at {self.address}: somebody else's drill?")

    async def damage(self, kind: str, after_tokens: int) -> None:
        """Every generation from now on."""
        await self.post("/faults", {"kind": kind, "rate": 1.0, "after_tokens": after_tokens})

    async def heal(self) -> None:
        """No generation from now on."""
        await self.post("/faults", {"kind": None, "rate": 0.0})

    async def damaged(self) -> set[str]:
        """The ids of those that were, in all."""
        return {record.rid for record in (await self.get("/faults", Faults)).records}


class Proxy(Target):
    """``specwatch serve``."""

    async def replicas(self) -> list[str]:
        """The addresses by which it knows them."""
        return [one.address for one in (await self.get("/api/replicas", Replicas)).replicas]

    async def incidents(self, replica: str) -> list[Incident]:
        """The newest of one replica."""
        query = {"replica": replica, "limit": "100"}
        body = await self.page("/api/incidents", query)
        try:
            return read_page(body).incidents
        except msgspec.MsgspecError as error:
            raise self.something_else("/api/incidents", error) from error

    async def outcome(self, request_id: str) -> str | None:
        """How a request ended, ``None`` while it runs."""
        try:
            return (await self.get(f"/api/requests/{request_id}", Story)).outcome
        except DrillFailed:
            return None

    async def anomalies(self, replica: str) -> float:
        """As its metrics count them."""
        page = (await self.page("/metrics")).decode(errors="replace")
        try:
            return sum(
                sample.value
                for family in text_string_to_metric_families(page)
                for sample in family.samples
                if sample.name == ANOMALIES and sample.labels.get("replica") == replica
            )
        except ValueError as error:
            raise self.something_else("/metrics", error) from error

    async def ask(self, model: str, max_tokens: int, key: str | None) -> None:
        """One streamed answer, read to its end, whatever it is."""
        body = {
            "model": model,
            "messages": [{"role": "user", "content": _PROMPT}],
            "max_tokens": max_tokens,
            "temperature": 0.8,
            "stream": True,
        }
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        url = f"{self.address}/v1/chat/completions"
        try:
            async with self._session.post(
                url, json=body, headers=headers, timeout=_ANSWER
            ) as response:
                if response.status == 401:
                    raise DrillFailed(f"{url} answers 401: give --api-key")
                async for _ in response.content.iter_any():
                    pass
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(0.5)  # told by what the drill then does not see


class Prometheus(Target):
    """Whatever scrapes the proxy."""

    async def anomalies(self, replica: str) -> float:
        """Of all proxies together."""
        told = replica.replace("\\", r"\\").replace('"', r"\"")
        query = {"query": f'sum({ANOMALIES}{{replica="{told}"}})'}
        result = (await self.get("/api/v1/query", QueryAnswer, query)).data.result
        return float(result[0].value[1]) if result else 0.0

    async def firing(self) -> set[Alert]:
        """Alerts that fire now."""
        alerts = (await self.get("/api/v1/alerts", AlertsAnswer)).data.alerts
        return _alerts(one.labels for one in alerts if one.state == "firing")


class Alertmanager(Target):
    """Where Prometheus sends its alerts."""

    async def active(self) -> set[Alert]:
        """Alerts that it has and that nobody silenced."""
        query = {"active": "true", "silenced": "false"}
        alerts = await self.get("/api/v2/alerts", list[Labelled], query)
        return _alerts(one.labels for one in alerts)


def _alerts(told: Iterable[Mapping[str, str]]) -> set[Alert]:
    """Those that call somebody: Watchdog (severity none) fires at all times."""
    return {
        Alert(labels.get("alertname", ""), labels.get("replica", ""))
        for labels in told
        if labels.get("severity") != "none"
    }
