"""Runs one drill: looks, breaks, watches the chain, and mends in any case."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp

from monitor.drill.chain import Chain, Link, Seen, wanted_links
from monitor.drill.targets import Alert, Alertmanager, Backend, Prometheus, Proxy
from monitor.errors import DrillFailed
from monitor.records import Incident

_POLL_SECONDS = 0.2
_HEAL_TRIES = 3


@dataclass(frozen=True, slots=True)
class DrillOptions:
    """What is drilled.

    Attributes:
        replica: the backend's address as the proxy knows it, where that is another one.
        kind: of the fault, as the backend calls it.
        api_key: of a client, where the proxy wants one.
    """

    proxy: str
    backend: str
    backend_key: str
    admin_key: str | None = None
    api_key: str | None = None
    replica: str | None = None
    prometheus: str | None = None
    alertmanager: str | None = None
    kind: str = "noise"
    model: str = "drill"
    concurrency: int = 3
    max_tokens: int = 160
    after_tokens: int = 16
    timeout_seconds: float = 180.0


@dataclass(frozen=True, slots=True)
class Targets:
    """All parts."""

    backend: Backend
    proxy: Proxy
    prometheus: Prometheus | None
    alertmanager: Alertmanager | None


@dataclass(frozen=True, slots=True)
class Before:
    """What there was before the fault: it proves nothing."""

    damaged: frozenset[str]
    incidents: frozenset[str]
    anomalies: float
    scraped: float
    firing: frozenset[Alert]
    active: frozenset[Alert]


async def drill(options: DrillOptions, tell: Callable[[Seen], None]) -> Chain:
    """The whole of it; ``tell`` hears each link as it is seen.

    Raises:
        DrillFailed: a target is not what it should be, or the fault could not be switched off.
    """
    async with aiohttp.ClientSession() as session:
        targets = _targets(session, options)
        await targets.backend.check()
        replica = await _known_as(targets.proxy, options)
        before = await _before(targets, replica)
        wanted = wanted_links(
            has_prometheus=targets.prometheus is not None,
            has_alertmanager=targets.alertmanager is not None,
        )
        async with _damaged(targets.backend, options):
            chain = Chain(wanted, time.monotonic())
            watch = _Watch(targets, chain, before, replica, tell)
            watch.note(Link.FAULT_ON, f"{options.kind} at {targets.backend.address}")
            load = [
                asyncio.create_task(_ask_on(targets.proxy, options))
                for _ in range(options.concurrency)
            ]
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(options.timeout_seconds):
                        await watch.until_whole(load)
            finally:
                for task in load:
                    task.cancel()
                await asyncio.gather(*load, return_exceptions=True)
        return chain


def _targets(session: aiohttp.ClientSession, options: DrillOptions) -> Targets:
    prometheus, alertmanager = options.prometheus, options.alertmanager
    return Targets(
        Backend(session, "backend", options.backend, options.backend_key),
        Proxy(session, "proxy", options.proxy, options.admin_key),
        None if prometheus is None else Prometheus(session, "Prometheus", prometheus),
        None if alertmanager is None else Alertmanager(session, "Alertmanager", alertmanager),
    )


async def _known_as(proxy: Proxy, options: DrillOptions) -> str:
    """The backend in the proxy's fleet; a fault in another one would show nothing."""
    wanted = (options.replica or options.backend).rstrip("/")
    known = await proxy.replicas()
    for address in known:
        if address.rstrip("/") == wanted:
            return address
    raise DrillFailed(
        f"the proxy does not know {wanted}; it has {', '.join(known) or 'no replicas'}. "
        "Is it one of them by another address? Then give that one with --replica"
    )


async def _before(targets: Targets, replica: str) -> Before:
    prometheus, alertmanager = targets.prometheus, targets.alertmanager
    incidents = await targets.proxy.incidents(replica)
    return Before(
        frozenset(await targets.backend.damaged()),
        frozenset(one.id for one in incidents),
        await targets.proxy.anomalies(replica),
        0.0 if prometheus is None else await prometheus.anomalies(replica),
        frozenset() if prometheus is None else frozenset(await prometheus.firing()),
        frozenset() if alertmanager is None else frozenset(await alertmanager.active()),
    )


@asynccontextmanager
async def _damaged(backend: Backend, options: DrillOptions) -> AsyncIterator[None]:
    """The fault is on meanwhile, and off afterwards: also after Ctrl-C, and after a failure to
    switch it on whose answer was lost.
    """
    try:
        await backend.damage(options.kind, options.after_tokens)
        yield
    finally:
        await asyncio.shield(asyncio.ensure_future(_heal(backend)))


async def _heal(backend: Backend) -> None:
    for tries in range(1, _HEAL_TRIES + 1):
        try:
            await backend.heal()
            return
        except DrillFailed as error:
            if tries == _HEAL_TRIES:
                order = "curl -H 'authorization: Bearer KEY' -d '{\"kind\": null}'"
                raise DrillFailed(
                    f"THE FAULT MAY STILL BE ON at {backend.address}: {error}. Switch it off: "
                    f"{order} {backend.address}/faults"
                ) from error
            await asyncio.sleep(1.0)


async def _ask_on(proxy: Proxy, options: DrillOptions) -> None:
    while True:
        await proxy.ask(options.model, options.max_tokens, options.api_key)


class _Watch:
    """Looks for what is still missing, again and again."""

    def __init__(
        self,
        targets: Targets,
        chain: Chain,
        before: Before,
        replica: str,
        tell: Callable[[Seen], None],
    ) -> None:
        self._targets = targets
        self._chain = chain
        self._before = before
        self._replica = replica
        self._tell = tell
        self._began = time.time()
        self._requests: dict[str, str] = {}  # id -> incident of it

    def note(self, link: Link, detail: str = "") -> None:
        """A link is there."""
        if self._chain.note(link, time.monotonic(), detail):
            self._tell(self._chain.seen[link])

    async def until_whole(self, load: list["asyncio.Task[None]"]) -> None:
        """Until nothing is missing, or no request can be made."""
        while self._chain.missing:
            await self._look()
            for task in load:
                if task.done():
                    task.result()  # raises why
            await asyncio.sleep(_POLL_SECONDS)

    async def _look(self) -> None:
        backend, proxy, before = self._targets.backend, self._targets.proxy, self._before
        lacks = self._chain.lacks
        if lacks(Link.DAMAGED) and (found := await backend.damaged() - before.damaged):
            self.note(Link.DAMAGED, min(found))
        if lacks(Link.STORED) or lacks(Link.RETRIED):
            await self._look_for_incidents(proxy)
        if lacks(Link.METRIC) and await proxy.anomalies(self._replica) > before.anomalies:
            self.note(Link.METRIC)
        if self._targets.prometheus is not None:
            await self._look_at_prometheus(self._targets.prometheus)
        if self._targets.alertmanager is not None and lacks(Link.NOTIFIED):
            self._note_alert(
                Link.NOTIFIED, await self._targets.alertmanager.active() - before.active
            )

    async def _look_for_incidents(self, proxy: Proxy) -> None:
        for one in await proxy.incidents(self._replica):
            if one.id not in self._before.incidents:
                self._requests[one.request_id] = one.id
                self._note_detected(one)
                self.note(Link.STORED, f"{one.kind.value}, {one.id}")
        for request_id in self._requests if self._chain.lacks(Link.RETRIED) else ():
            if await proxy.outcome(request_id) == "retried_clean":
                self.note(Link.RETRIED, request_id)
                return

    def _note_detected(self, incident: Incident) -> None:
        """At the time that the proxy tells; if its clock is another one, when it was seen."""
        now = time.monotonic()
        at = self._chain.began_at + incident.at - self._began
        is_likely = self._chain.began_at <= at <= now
        verdict = incident.facts.verdict
        token = None if verdict is None else verdict.alarm_token
        if self._chain.note(Link.DETECTED, at if is_likely else now, f"at token {token}"):
            self._tell(self._chain.seen[Link.DETECTED])

    async def _look_at_prometheus(self, prometheus: Prometheus) -> None:
        is_waited_for = self._chain.lacks(Link.SCRAPED)
        if is_waited_for and await prometheus.anomalies(self._replica) > self._before.scraped:
            self.note(Link.SCRAPED)
        if self._chain.lacks(Link.FIRING):
            self._note_alert(Link.FIRING, await prometheus.firing() - self._before.firing)

    def _note_alert(self, link: Link, found: set[Alert]) -> None:
        """One about this replica, or about the fleet."""
        ours = sorted(one.name for one in found if one.replica in (self._replica, ""))
        if ours:
            self.note(link, ", ".join(ours))
