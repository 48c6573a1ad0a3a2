"""How records lie in Redis, and how they are written and read there. Raises what the client raises.

A record is a key that expires. Incidents are listed in a stream of bounded length, newest last; its
entries have what a list is filtered by. Captured text is a key of its own, which expires sooner.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from msgspec import structs
from redis.asyncio import Redis

from monitor.records import Incident, IncidentFilter, RequestRecord

BATCH = 100
INCIDENT_INDEX = "specwatch:incident-log"  # stream: id, kind, replica, model, at
KEEP_SECONDS = 24 * 3600
KEEP_TEXT_SECONDS = 3600

Kept = TypeVar("Kept", Incident, RequestRecord)


def incident_key(incident_id: str) -> str:
    """Where an incident lies."""
    return f"specwatch:incident:{incident_id}"


def text_key(incident_id: str) -> str:
    """Where its captured text lies, while that is kept."""
    return f"specwatch:incident-text:{incident_id}"


def request_key(request_id: str) -> str:
    """Where a request lies."""
    return f"specwatch:request:{request_id}"


class RedisRecords:
    """Incidents and requests in one Redis.

    Args:
        capacity: incidents in the list.
        keep_seconds: how long a record is kept, and ``text_seconds`` its text.

    Attributes:
        unreadable: what lay where a record should, and was none that this version reads.
    """

    def __init__(
        self,
        client: Redis,
        capacity: int = 1000,
        keep_seconds: int = KEEP_SECONDS,
        text_seconds: int = KEEP_TEXT_SECONDS,
    ) -> None:
        self.client = client
        self.capacity = capacity
        self.keep_seconds = keep_seconds
        self.text_seconds = text_seconds
        self.unreadable = 0

    async def write(self, batch: Iterable[tuple[Incident | RequestRecord, bool]]) -> None:
        """Writes all of ``batch`` in one go: records, and whether each is new."""
        pipeline = self.client.pipeline(transaction=False)
        for record, is_new in batch:
            if isinstance(record, Incident):
                self._add_incident(pipeline, record, is_new=is_new)
            else:
                self._set(pipeline, request_key(record.request_id), record)
        await pipeline.execute()

    async def incidents(self, wanted: IncidentFilter) -> list[Incident]:
        """Those wanted, newest first."""
        found: list[Incident] = []
        seen: set[str] = set()
        last = "+"
        while len(found) < wanted.limit and len(seen) < self.capacity:
            page = await self.client.xrevrange(INCIDENT_INDEX, last, "-", BATCH)
            if not page:
                break
            last = f"({as_text(page[-1][0])}"
            fields = [_texts(entry[1]) for entry in page]
            ids = [one["id"] for one in fields if "id" in one and may_be_wanted(one, wanted)]
            new = [one for one in dict.fromkeys(ids) if one not in seen]
            seen.update(new)
            read = await self._read_incidents(new)
            found += [one for one in read if wanted.accepts(one)]
        return found[: wanted.limit]

    async def incident(self, incident_id: str) -> Incident | None:
        """One incident, if it is still kept."""
        found = await self._read_incidents([incident_id])
        return found[0] if found else None

    async def request(self, request_id: str) -> RequestRecord | None:
        """One request, if it is still kept."""
        return self._decode(await self.client.get(request_key(request_id)), RequestRecord)

    def _add_incident(self, pipeline: Any, incident: Incident, *, is_new: bool) -> None:
        without_text = structs.replace(incident, text_sample=None)
        self._set(pipeline, incident_key(incident.id), without_text)
        if incident.text_sample is not None:
            seconds = incident.at + self.text_seconds - time.time()
            if seconds >= 1:
                key = text_key(incident.id)
                pipeline.set(key, incident.text_sample, ex=min(int(seconds), self.text_seconds))
        if is_new:
            entry = index_entry(incident)
            pipeline.xadd(INCIDENT_INDEX, entry, maxlen=self.capacity, approximate=False)
            oldest = int((time.time() - self.keep_seconds) * 1000)
            pipeline.xtrim(INCIDENT_INDEX, minid=oldest)
            pipeline.expire(INCIDENT_INDEX, self.keep_seconds)

    def _set(self, pipeline: Any, key: str, record: Incident | RequestRecord) -> None:
        pipeline.set(key, msgspec.msgpack.encode(record), ex=self.keep_seconds)

    async def _read_incidents(self, ids: Sequence[str]) -> list[Incident]:
        if not ids:
            return []
        keys = [key(one) for one in ids for key in (incident_key, text_key)]
        values = await self.client.mget(keys)
        found: list[Incident] = []
        for value, text in zip(values[::2], values[1::2], strict=True):
            incident = self._decode(value, Incident)
            if incident is not None and isinstance(text, bytes):
                text_sample = text.decode(errors="replace")
                incident = structs.replace(incident, text_sample=text_sample)
            if incident is not None:
                found.append(incident)
        return found

    def _decode(self, value: object, kind: type[Kept]) -> Kept | None:
        record = decode(value, kind)
        if record is None and value is not None:
            self.unreadable += 1
        return record


def index_entry(incident: Incident) -> dict[Any, Any]:
    """What the list says of one incident."""
    return {
        "id": incident.id,
        "kind": incident.kind.value,
        "replica": incident.facts.replica,
        "model": incident.facts.model or "",
        "at": f"{incident.at:.3f}",
    }


def may_be_wanted(entry: Mapping[str, str], wanted: IncidentFilter) -> bool:
    """Whether the record behind an entry is worth reading; what it does not say may be wanted."""
    asked = {"kind": wanted.kind, "replica": wanted.replica, "model": wanted.model}
    for name, value in asked.items():
        if value is not None and entry.get(name, value) != value:
            return False
    try:
        return wanted.since is None or float(entry.get("at", "inf")) >= wanted.since - 1.0
    except ValueError:
        return True


def decode(value: object, kind: type[Kept]) -> Kept | None:
    """The record in ``value``; ``None`` if there is none, or not one that this version reads."""
    if not isinstance(value, bytes):
        return None
    try:
        return msgspec.msgpack.decode(value, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def as_text(value: object) -> str:
    """A name in Redis as text; the client answers in bytes unless told otherwise."""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _texts(entry: Mapping[Any, Any] | None) -> dict[str, str]:
    return {as_text(name): as_text(value) for name, value in (entry or {}).items()}
