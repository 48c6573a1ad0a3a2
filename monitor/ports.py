"""What the monitor needs from the data plane and from a store, as protocols."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from detectors.draft_health import DraftState
from monitor.records import Incident, IncidentFilter, RequestRecord
from retry_proxy.events import ReplicaState
from retry_proxy.fleet.roster import Order


class ReplicaView(Protocol):
    """One replica as the fleet sees it now."""

    @property
    def address(self) -> str: ...
    @property
    def state(self) -> ReplicaState: ...
    @property
    def engine(self) -> str | None: ...
    @property
    def version(self) -> str | None: ...
    @property
    def models(self) -> Sequence[str]: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def outstanding_tokens(self) -> int: ...
    @property
    def attempts(self) -> int: ...
    @property
    def anomalies(self) -> int: ...
    @property
    def last_error(self) -> str | None: ...
    @property
    def draft_health(self) -> DraftState: ...
    @property
    def draft_reason(self) -> str: ...


class ReplicaSource(Protocol):
    """The fleet: asked at each scrape and by the API."""

    def snapshot(self) -> Sequence[ReplicaView]: ...


class FleetOrders(Protocol):
    """The fleet, to those who may change it."""

    def apply(self, order: Order, address: str) -> None:
        """Does what the operator says.

        Raises:
            RefusedAddress: it may not be added, or is a replica already.
            UnknownReplica: it is no replica.
        """
        ...


class DetectorErrorSource(Protocol):
    """Counts of detector crashes by detector name, kept by the hot path."""

    def __call__(self) -> Mapping[str, int]: ...


@dataclass(frozen=True, slots=True)
class StoreHealth:
    """How a store is doing; read at each scrape.

    Attributes:
        is_up: the last call to the shared store succeeded, or there is none.
        errors: failed calls so far.
        dropped: records that never reached the shared store.
        calls, seconds, slow_calls: calls made so far, the time they took, and those of them that
            took more than 50 ms.
        unreadable: records found there that this version cannot read, each time.
        away_seconds: for which it was away so far.
    """

    name: str
    is_up: bool
    errors: int
    dropped: int
    calls: int = 0
    seconds: float = 0.0
    slow_calls: int = 0
    away_seconds: float = 0.0
    unreadable: int = 0


class Store(Protocol):
    """Keeps incidents and requests for a while.

    ``put_*`` never block and never raise: a store that is down loses records, never requests.
    Reads answer from what there is.
    """

    def put_incident(self, incident: Incident) -> None: ...
    def put_request(self, record: RequestRecord) -> None: ...
    async def incidents(self, wanted: IncidentFilter) -> list[Incident]: ...
    async def incident(self, incident_id: str) -> Incident | None: ...
    async def request(self, request_id: str) -> RequestRecord | None: ...
    def health(self) -> StoreHealth: ...
    async def start(self) -> None: ...
    async def close(self) -> None: ...
