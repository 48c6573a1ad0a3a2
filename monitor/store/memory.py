"""Keeps the newest records of this process in memory. Nothing here waits."""

import time
from collections import OrderedDict
from collections.abc import Callable
from itertools import islice

from msgspec import structs

from monitor.ports import StoreHealth
from monitor.records import Incident, IncidentFilter, RequestRecord

_LOOK_SECONDS = 60.0  # for text that is kept no longer


class MemoryStore:
    """Bounded: the oldest record makes room for the newest.

    Args:
        capacity: how many incidents are kept; ten times as many requests.
        text_seconds: how long captured text is kept with them, from the incident on.
        clock: unix time, seconds.
    """

    def __init__(
        self,
        capacity: int = 1000,
        text_seconds: float = 3600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.capacity = capacity
        self.text_seconds = text_seconds
        self._clock = clock
        self._next_look_at = 0.0
        self.request_capacity = capacity * 10
        self._incidents: OrderedDict[str, Incident] = OrderedDict()
        self._requests: OrderedDict[str, RequestRecord] = OrderedDict()

    def put_incident(self, incident: Incident) -> None:
        """Keep ``incident``."""
        self._incidents[incident.id] = incident
        self._forget_text()
        while len(self._incidents) > self.capacity:
            self._incidents.popitem(last=False)

    def put_request(self, record: RequestRecord) -> None:
        """Keep ``record``."""
        self._requests[record.request_id] = record
        while len(self._requests) > self.request_capacity:
            self._requests.popitem(last=False)

    async def incidents(self, wanted: IncidentFilter) -> list[Incident]:
        """Those wanted, newest first."""
        now = self._clock()
        newest_first = reversed(self._incidents.values())
        found = islice(filter(wanted.accepts, newest_first), wanted.limit)
        return [self._as_of(one, now) for one in found]

    async def incident(self, incident_id: str) -> Incident | None:
        """One incident, if it is still kept."""
        incident = self._incidents.get(incident_id)
        return None if incident is None else self._as_of(incident, self._clock())

    def has_incident(self, incident_id: str) -> bool:
        """Whether it is kept here."""
        return incident_id in self._incidents

    async def request(self, request_id: str) -> RequestRecord | None:
        """One request, if it is still kept."""
        return self._requests.get(request_id)

    def health(self) -> StoreHealth:
        """Memory is always there."""
        return StoreHealth(name="memory", is_up=True, errors=0, dropped=0)

    async def start(self) -> None:
        """Nothing to start."""

    async def close(self) -> None:
        """Nothing to close."""

    def _forget_text(self) -> None:
        """Lets go of all text that is due, when some is and a look is not just over."""
        now = self._clock()
        if now < self._next_look_at:
            return
        self._next_look_at = now + min(_LOOK_SECONDS, self.text_seconds)
        for incident in list(self._incidents.values()):
            self._incidents[incident.id] = self._as_of(incident, now)

    def _as_of(self, incident: Incident, now: float) -> Incident:
        if incident.text_sample is None or now < incident.at + self.text_seconds:
            return incident
        return structs.replace(incident, text_sample=None)
