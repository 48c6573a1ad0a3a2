"""Keeps the newest records of this process in memory. Nothing here waits."""

from collections import OrderedDict
from itertools import islice

from monitor.ports import StoreHealth
from monitor.records import Incident, IncidentFilter, RequestRecord


class MemoryStore:
    """Bounded: the oldest record makes room for the newest.

    Args:
        capacity: how many incidents are kept; ten times as many requests.
    """

    def __init__(self, capacity: int = 1000) -> None:
        self.capacity = capacity
        self.request_capacity = capacity * 10
        self._incidents: OrderedDict[str, Incident] = OrderedDict()
        self._requests: OrderedDict[str, RequestRecord] = OrderedDict()

    def put_incident(self, incident: Incident) -> None:
        """Keep ``incident``."""
        self._incidents[incident.id] = incident
        while len(self._incidents) > self.capacity:
            self._incidents.popitem(last=False)

    def put_request(self, record: RequestRecord) -> None:
        """Keep ``record``."""
        self._requests[record.request_id] = record
        while len(self._requests) > self.request_capacity:
            self._requests.popitem(last=False)

    async def incidents(self, wanted: IncidentFilter) -> list[Incident]:
        """Those wanted, newest first."""
        newest_first = reversed(self._incidents.values())
        return list(islice(filter(wanted.accepts, newest_first), wanted.limit))

    async def incident(self, incident_id: str) -> Incident | None:
        """One incident, if it is still kept."""
        return self._incidents.get(incident_id)

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
