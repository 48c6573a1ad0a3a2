"""Gets what the report is about: incidents from any source, healthy acceptance from a monitor."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from monitor.errors import IncidentsUnavailable
from monitor.incidents.client import MonitorClient
from monitor.incidents.sources import MonitorSource, Source
from monitor.records import Incident, IncidentFilter

_MOST_PAGES = 100


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the report is made of.

    Attributes:
        incidents: newest first.
        healthy: accept lengths of attempts without a finding, by replica.
        unreadable: pieces that were left out.
    """

    incidents: Sequence[Incident]
    healthy: dict[str, list[float]] = field(default_factory=dict)
    unreadable: int = 0


class _Attempt(msgspec.Struct):
    accepted_per_step: list[int]
    replica: str | None = None  # older versions do not tell it


class _Page(msgspec.Struct):
    attempts: list[_Attempt]
    next: int


def gather(source: Source, wanted: IncidentFilter) -> Gathered:
    """Everything there is.

    Raises:
        IncidentsUnavailable: the incidents cannot be had, or there are none.
    """
    loaded = source.incidents(wanted)
    if not loaded.incidents:
        raise IncidentsUnavailable("no incidents in that time: nothing to report")
    healthy: defaultdict[str, list[float]] = defaultdict(list)
    if isinstance(source, MonitorSource):
        for attempt in _healthy_attempts(source.client):
            if attempt.replica is not None and attempt.accepted_per_step:
                kept = attempt.accepted_per_step
                healthy[attempt.replica].append(1 + sum(kept) / len(kept))
    return Gathered(loaded.incidents, dict(healthy), loaded.unreadable)


def _healthy_attempts(client: MonitorClient) -> Iterator[_Attempt]:
    """The monitor's ring of them; nothing from one that keeps none."""
    since = 0
    for _ in range(_MOST_PAGES):
        body = client.get("/api/acceptance", since=since)
        try:
            page = msgspec.json.decode(body or b"", type=_Page)
        except msgspec.MsgspecError:
            return
        yield from page.attempts
        if page.next <= since:
            return
        since = page.next
