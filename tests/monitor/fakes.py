"""Stand-ins for the fleet and for a store that fails."""

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.draft_health import DraftState
from monitor.judge.report import JudgeReport, Tally
from monitor.records import Incident, RequestRecord
from monitor.store.memory import MemoryStore
from retry_proxy.events import ReplicaState
from tests.monitor.events import REPLICA_A, REPLICA_B


@dataclass(frozen=True, slots=True)
class FakeReplica:
    """One replica's state, as the fleet tells it."""

    address: str
    state: ReplicaState = ReplicaState.HEALTHY
    engine: str | None = "sglang"
    version: str | None = "0.5.23"
    models: tuple[str, ...] = ("smollm2",)
    in_flight: int = 0
    outstanding_tokens: int = 0
    attempts: int = 0
    anomalies: int = 0
    last_error: str | None = None
    draft_health: DraftState = DraftState.UNKNOWN
    draft_reason: str = "no stream yet"


class FakeFleet:
    """A fleet whose replicas the test sets."""

    def __init__(self, *replicas: FakeReplica) -> None:
        self.replicas = replicas or (FakeReplica(REPLICA_A), FakeReplica(REPLICA_B))

    def snapshot(self) -> Sequence[FakeReplica]:
        return self.replicas


class FakeJudge:
    """A judge whose tally the test fills."""

    def __init__(self) -> None:
        self.tally = Tally()

    def report(self) -> JudgeReport:
        return self.tally.report(is_up=True, waiting=0)


class BrokenStore(MemoryStore):
    """Raises whenever something is put into it, which a store must not do."""

    def put_incident(self, incident: Incident) -> None:
        raise RuntimeError("broken")

    def put_request(self, record: RequestRecord) -> None:
        raise RuntimeError("broken")


class UnreadableStore(MemoryStore):
    """Raises whenever an incident is read."""

    async def incident(self, incident_id: str) -> Incident | None:
        raise RuntimeError("broken")
