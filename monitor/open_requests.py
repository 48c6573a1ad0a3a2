"""Requests that have an attempt over and no end yet. Bounded."""

from collections import OrderedDict
from dataclasses import dataclass

from msgspec import structs

from monitor.judge.opinion import SecondOpinion
from monitor.records import AttemptFacts, Incident, RequestRecord, running_record


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """What is known of one so far."""

    attempts: tuple[AttemptFacts, ...] = ()
    incidents: tuple[Incident, ...] = ()

    def told(self, record: RequestRecord) -> list[Incident]:
        """Its incidents with how the request went on."""
        return [structs.replace(one, request=record) for one in self.incidents]


class OpenRequests:
    """The oldest makes room for the newest.

    Args:
        limit: how many are kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._open: OrderedDict[str, OpenRequest] = OrderedDict()

    def add(self, request_id: str, facts: AttemptFacts, incident: Incident | None) -> bool:
        """An attempt is over; false if another request had to make room."""
        known = self._open.get(request_id, OpenRequest())
        incidents = known.incidents if incident is None else (*known.incidents, incident)
        self._open[request_id] = OpenRequest((*known.attempts, facts), incidents)
        if len(self._open) <= self.limit:
            return True
        self._open.popitem(last=False)
        return False

    def end(self, request_id: str) -> OpenRequest:
        """The request is over; nothing is known of one that had no attempt, or made room."""
        return self._open.pop(request_id, OpenRequest())

    def record(self, request_id: str) -> RequestRecord | None:
        """Its story so far."""
        known = self._open.get(request_id)
        if known is None:
            return None
        return running_record(request_id, known.attempts[-1].model, known.attempts)

    def add_opinion(self, incident: Incident, opinion: SecondOpinion) -> None:
        """The judge was quicker than the request's end: its opinion must not be lost there."""
        known = self._open.get(incident.request_id)
        if known is None:
            return
        incidents = tuple(
            structs.replace(one, second_opinion=opinion) if one.id == incident.id else one
            for one in known.incidents
        )
        self._open[incident.request_id] = OpenRequest(known.attempts, incidents)
