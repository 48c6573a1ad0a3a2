"""One replica: its state as a table, and plain counters."""

import asyncio
import enum
from dataclasses import dataclass, field

from detectors.draft_health import DraftHealth, DraftState
from retry_proxy.decide.abort_limit import AbortLimit
from retry_proxy.engines.adapter import EngineAdapter
from retry_proxy.errors import ConnectFailed
from retry_proxy.events import ReplicaState
from retry_proxy.fleet.outlier import OutlierTest, Tally


class ReplicaEvent(enum.Enum):
    """What was learned about a replica, or decided about it."""

    ANSWERED = "answered"
    CONNECT_FAILED = "connect_failed"
    TRIP = "trip"  # failed too often in a row
    QUARANTINE = "quarantine"  # its anomalies stand out, or the operator says so
    PAUSE_OVER = "pause_over"  # it was left alone for long enough
    PROVED = "proved"  # the requests that it got on trial went well
    DRAIN = "drain"
    RELEASE = "release"  # the operator takes all of that back


_S, _E = ReplicaState, ReplicaEvent

# A quarantined engine that refuses and then answers may be the same sick one: only a trial or the
# operator brings it back.
TABLE: dict[ReplicaState, dict[ReplicaEvent, ReplicaState]] = {
    _S.HEALTHY: {
        _E.ANSWERED: _S.HEALTHY,
        _E.CONNECT_FAILED: _S.UNREACHABLE,
        _E.TRIP: _S.TRIPPED,
        _E.QUARANTINE: _S.QUARANTINED,
        _E.DRAIN: _S.DRAINING,
        _E.RELEASE: _S.HEALTHY,
    },
    _S.UNREACHABLE: {
        _E.ANSWERED: _S.HEALTHY,
        _E.CONNECT_FAILED: _S.UNREACHABLE,
        _E.QUARANTINE: _S.QUARANTINED,
        _E.DRAIN: _S.DRAINING,
        _E.RELEASE: _S.UNREACHABLE,
    },
    _S.TRIPPED: {
        _E.ANSWERED: _S.TRIPPED,
        _E.CONNECT_FAILED: _S.TRIPPED,
        _E.QUARANTINE: _S.QUARANTINED,
        _E.PAUSE_OVER: _S.PROBING,
        _E.DRAIN: _S.DRAINING,
        _E.RELEASE: _S.HEALTHY,
    },
    _S.QUARANTINED: {
        _E.ANSWERED: _S.QUARANTINED,
        _E.CONNECT_FAILED: _S.QUARANTINED,
        _E.QUARANTINE: _S.QUARANTINED,
        _E.PAUSE_OVER: _S.PROBING,
        _E.DRAIN: _S.DRAINING,
        _E.RELEASE: _S.HEALTHY,
    },
    _S.PROBING: {
        _E.ANSWERED: _S.PROBING,
        _E.CONNECT_FAILED: _S.TRIPPED,
        _E.TRIP: _S.TRIPPED,
        _E.QUARANTINE: _S.QUARANTINED,
        _E.PROVED: _S.HEALTHY,
        _E.DRAIN: _S.DRAINING,
        _E.RELEASE: _S.HEALTHY,
    },
    _S.DRAINING: {
        _E.ANSWERED: _S.DRAINING,
        _E.CONNECT_FAILED: _S.DRAINING,
        _E.QUARANTINE: _S.QUARANTINED,
        _E.DRAIN: _S.DRAINING,
        _E.RELEASE: _S.HEALTHY,
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
    outstanding_tokens: int
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
        outstanding_tokens: estimated, of the attempts that run on it.
        refusals: times in a row that it refused connections; sets the back-off of probing.
        next_probe_at: monotonic time.
        probing: runs while it is asked what it is.
        restored_at: monotonic time at which it came back, ``None`` if it was never away.
        origin: where it is listed.
        is_leaving: it is listed no more; forgotten once nothing runs on it.
        busy_until: monotonic time; it asked to be spared until then.
        aborts: generations that were stopped on it.
        epoch: counts the changes of its state.
        failures_in_row: attempts on it, the last ones, that failed.
        outlier: the test whether its anomalies stand out.
        local: this proxy's own part of the counts; the test also has the other proxies'.
        recent_share: of its attempts with an anomaly, the old ones forgotten.
        ejections: times in a row that it was taken out; sets the length of the pause.
        quarantine_reason: why it was quarantined last.
        is_taken_over: another proxy decided that, not this one.
        paused_until: monotonic time at which a trial begins, ``None`` if none is due.
        withheld_until: it should be out and cannot; not told again before this time.
        trials_needed, trials_running, trials_clean: requests on trial, while it is probing.
    """

    address: str
    state: ReplicaState = ReplicaState.HEALTHY
    adapter: EngineAdapter | None = None
    in_flight: int = 0
    outstanding_tokens: int = 0
    attempts: int = 0
    anomalies: int = 0
    last_error: str | None = None
    draft_health: DraftHealth = field(default_factory=DraftHealth)
    refusals: int = 0
    next_probe_at: float = 0.0
    probing: "asyncio.Task[EngineAdapter | ConnectFailed] | None" = None
    restored_at: float | None = None
    origin: str = "flags"
    is_leaving: bool = False
    busy_until: float = 0.0
    aborts: AbortLimit = field(default_factory=AbortLimit)
    epoch: int = 0
    failures_in_row: int = 0
    outlier: OutlierTest = field(default_factory=OutlierTest)
    local: Tally = field(default_factory=Tally)
    recent_share: float = 0.0
    ejections: int = 0
    quarantine_reason: str = ""
    is_taken_over: bool = False
    paused_until: float | None = None
    withheld_until: float = 0.0
    trials_needed: int = 0
    trials_running: int = 0
    trials_clean: int = 0

    @property
    def is_held(self) -> bool:
        """Quarantined until the operator releases it."""
        return self.state is ReplicaState.QUARANTINED and self.paused_until is None

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
            outstanding_tokens=self.outstanding_tokens,
            attempts=self.attempts,
            anomalies=self.anomalies,
            last_error=self.last_error,
            draft_health=self.draft_health.state,
            draft_reason=self.draft_health.reason,
        )
