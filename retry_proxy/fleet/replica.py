"""One replica: its state as a table, and plain counters."""

import asyncio
import enum
from dataclasses import dataclass, field

from detectors.draft_health import DraftHealth, DraftState
from retry_proxy.engines.adapter import EngineAdapter
from retry_proxy.errors import ConnectFailed
from retry_proxy.events import ReplicaState


class ReplicaEvent(enum.Enum):
    """What was learned about a replica."""

    ANSWERED = "answered"
    CONNECT_FAILED = "connect_failed"


TABLE: dict[ReplicaState, dict[ReplicaEvent, ReplicaState]] = {
    ReplicaState.HEALTHY: {
        ReplicaEvent.ANSWERED: ReplicaState.HEALTHY,
        ReplicaEvent.CONNECT_FAILED: ReplicaState.UNREACHABLE,
    },
    ReplicaState.UNREACHABLE: {
        ReplicaEvent.ANSWERED: ReplicaState.HEALTHY,
        ReplicaEvent.CONNECT_FAILED: ReplicaState.UNREACHABLE,
    },
}


def next_state(state: ReplicaState, event: ReplicaEvent) -> ReplicaState:
    """The next state; a missing cell is a bug and raises ``KeyError``."""
    return TABLE[state][event]


@dataclass(frozen=True, slots=True)
class ReplicaSnapshot:
    """A replica as it is now, for the monitor."""

    address: str
    state: ReplicaState
    engine: str | None
    version: str | None
    models: tuple[str, ...]
    in_flight: int
    attempts: int
    anomalies: int
    last_error: str | None
    draft_health: DraftState
    draft_reason: str


@dataclass(slots=True)
class Replica:
    """What the proxy knows about one replica.

    Attributes:
        adapter: ``None`` until it told which engine it is.
        refusals: times in a row that it refused connections; sets the back-off of probing.
        next_probe_at: monotonic time.
        probing: runs while it is asked what it is.
    """

    address: str
    state: ReplicaState = ReplicaState.HEALTHY
    adapter: EngineAdapter | None = None
    in_flight: int = 0
    attempts: int = 0
    anomalies: int = 0
    last_error: str | None = None
    draft_health: DraftHealth = field(default_factory=DraftHealth)
    refusals: int = 0
    next_probe_at: float = 0.0
    probing: "asyncio.Task[EngineAdapter | ConnectFailed] | None" = None

    def snapshot(self) -> ReplicaSnapshot:
        """A frozen copy."""
        profile = None if self.adapter is None else self.adapter.profile
        return ReplicaSnapshot(
            address=self.address,
            state=self.state,
            engine=None if profile is None else profile.name,
            version=None if profile is None else profile.version,
            models=() if profile is None else profile.models,
            in_flight=self.in_flight,
            attempts=self.attempts,
            anomalies=self.anomalies,
            last_error=self.last_error,
            draft_health=self.draft_health.state,
            draft_reason=self.draft_health.reason,
        )
