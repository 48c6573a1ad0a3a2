"""Where incidents are read from: a running monitor, Redis, or a file of them."""

import asyncio
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import structs
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from monitor.errors import IncidentsUnavailable
from monitor.incidents.client import TIMEOUT_SECONDS, MonitorClient
from monitor.incidents.reading import Loaded, read_incident, read_lines, read_page
from monitor.records import Incident, IncidentFilter
from monitor.store.redis_records import RedisRecords

MOST = 1000  # that a monitor tells at once


class Source(Protocol):
    """Reads; each call may raise ``IncidentsUnavailable``."""

    def incidents(self, wanted: IncidentFilter) -> Loaded: ...
    def incident(self, incident_id: str) -> Incident | None: ...


def open_source(where: str, admin_key: str | None = None) -> Source:
    """The source of this name: an ``http`` or ``redis`` address, a file, ``-`` for standard input.

    Raises:
        IncidentsUnavailable: it is none of these.
    """
    scheme = where.split("://", 1)[0] if "://" in where else ""
    if scheme in {"http", "https"}:
        return MonitorSource(MonitorClient(where, admin_key))
    if scheme in {"redis", "rediss", "unix"}:
        return RedisSource(where)
    if scheme:
        raise IncidentsUnavailable(f"{where}: neither http://, redis:// nor a file")
    return FileSource(where)


@dataclass(frozen=True, slots=True)
class MonitorSource:
    """A running ``specwatch serve``."""

    client: MonitorClient

    def incidents(self, wanted: IncidentFilter) -> Loaded:
        """Those wanted, newest first."""
        query = {**structs.asdict(wanted), "limit": min(wanted.limit, MOST)}
        body = self.client.get("/api/incidents", **query)
        try:
            return read_page(b"" if body is None else body)
        except msgspec.MsgspecError as error:
            raise IncidentsUnavailable(
                f"{self.client.address}: /api/incidents answers something else; is it "
                "`specwatch serve`?"
            ) from error

    def incident(self, incident_id: str) -> Incident | None:
        """One, if it is still kept."""
        body = self.client.get(f"/api/incidents/{incident_id}")
        return None if body is None else read_incident(body)


@dataclass(frozen=True, slots=True)
class RedisSource:
    """What all proxies with this ``--redis`` wrote."""

    url: str = field(repr=False)  # may hold a password

    def incidents(self, wanted: IncidentFilter) -> Loaded:
        """Those wanted, newest first."""
        return asyncio.run(self._incidents(wanted))

    def incident(self, incident_id: str) -> Incident | None:
        """One, if it is still kept."""
        return asyncio.run(self._incident(incident_id))

    async def _incidents(self, wanted: IncidentFilter) -> Loaded:
        client = self._connect()
        try:
            records = RedisRecords(client, capacity=sys.maxsize)
            found = await records.incidents(wanted)
            return Loaded(found, records.unreadable)
        except (RedisError, OSError) as error:
            raise IncidentsUnavailable(f"Redis cannot be read: {error}") from error
        finally:
            await client.aclose()

    async def _incident(self, incident_id: str) -> Incident | None:
        client = self._connect()
        try:
            return await RedisRecords(client).incident(incident_id)
        except (RedisError, OSError) as error:
            raise IncidentsUnavailable(f"Redis cannot be read: {error}") from error
        finally:
            await client.aclose()

    def _connect(self) -> Redis:
        try:
            return Redis.from_url(
                self.url,
                socket_timeout=TIMEOUT_SECONDS,
                socket_connect_timeout=TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 0),
            )
        except ValueError as error:
            raise IncidentsUnavailable(f"not a Redis address: {error}") from error


@dataclass(frozen=True, slots=True)
class FileSource:
    """JSON lines from ``specwatch incidents --json``, or saved pages of ``/api/incidents``."""

    path: str

    def incidents(self, wanted: IncidentFilter) -> Loaded:
        """Those wanted, newest first."""
        loaded = self._read()
        chosen = [one for one in loaded.incidents if wanted.accepts(one)]
        return Loaded(chosen[: wanted.limit], loaded.unreadable)

    def incident(self, incident_id: str) -> Incident | None:
        """One of those in the file."""
        found = (one for one in self._read().incidents if one.id == incident_id)
        return next(found, None)

    def _read(self) -> Loaded:
        try:
            if self.path == "-":
                return read_lines(sys.stdin.buffer)
            with Path(self.path).open("rb") as lines:
                return read_lines(lines)
        except OSError as error:
            raise IncidentsUnavailable(f"cannot read {self.path}: {error.strerror}") from error


def find_incident(source: Source, wanted_id: str) -> Incident:
    """The incident with this id, or the only one whose id begins so.

    Raises:
        IncidentsUnavailable: there is none, or several.
    """
    # An id goes into a URL's path: nothing but an id may.
    is_id = wanted_id.isalnum() and len(wanted_id) <= 64
    exact = source.incident(wanted_id) if is_id else None
    if exact is not None:
        return exact
    kept = source.incidents(IncidentFilter(limit=MOST)).incidents
    found = [one for one in kept if one.id.startswith(wanted_id)] if wanted_id else []
    if not found:
        raise IncidentsUnavailable(
            f"no incident {wanted_id!r}: never seen there, or no longer kept. "
            "`specwatch incidents` lists those that are"
        )
    if len(found) > 1:
        ids = ", ".join(one.id for one in found[:4])
        raise IncidentsUnavailable(f"{len(found)} incidents begin with {wanted_id}: {ids} …")
    return found[0]
