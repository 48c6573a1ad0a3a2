"""Who is taken out of the fleet, put on trial and brought back. No I/O; takes ``now``.

Every method returns what changed, for others to tell.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

from retry_proxy.config import ProxyConfig
from retry_proxy.events import FleetTrouble, ReplicaState
from retry_proxy.fleet.lease import Lease
from retry_proxy.fleet.outlier import Tally
from retry_proxy.fleet.pool import Pool
from retry_proxy.fleet.replica import Replica, ReplicaEvent, next_state

_EJECTED = (ReplicaState.TRIPPED, ReplicaState.QUARANTINED, ReplicaState.PROBING)
_TRIALS_AFTER_TRIP = 3
_TRIALS_AFTER_QUARANTINE = 20  # one of 15 % anomalies passes them once in 26 times
_MEMORY_ATTEMPTS = 50.0
_SICK_SHARE = 0.05
_WELL_SHARE = 0.025


class AttemptResult(enum.Enum):
    """What an attempt says about its replica."""

    CLEAN = "clean"
    ANOMALY = "anomaly"
    SHARED = "shared"  # an anomaly that another replica showed for the same request as well
    FAILED = "failed"  # 5xx, cut, stalled, malformed
    UNTOLD = "untold"  # the client left, or the request itself was refused


@dataclass(frozen=True, slots=True)
class Change:
    """A replica moved to another state."""

    replica: Replica
    reason: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something is wrong that taking a replica out does not cure."""

    kind: FleetTrouble
    reason: str
    replica: Replica | None = None


Notice = Change | Trouble


class Ward:
    """Watches how attempts end."""

    def __init__(self, pool: Pool, config: ProxyConfig) -> None:
        self._pool = pool
        self._config = config
        self._fleet = Tally()
        self._recent_share = 0.0
        self._is_all_sick = False
        self._sickness_silent_until = 0.0

    # what attempts and probes tell

    def note_answered(self, replica: Replica, now: float) -> list[Notice]:
        """It took a connection."""
        replica.refusals = 0
        if replica.state is not ReplicaState.UNREACHABLE:
            return []
        return [self._change(replica, ReplicaEvent.ANSWERED, "answers again", now)]

    def note_refused(self, replica: Replica, now: float) -> list[Notice]:
        """It refused a connection."""
        if replica.state is ReplicaState.PROBING:
            self._pause(replica, now)
        elif replica.state is not ReplicaState.HEALTHY:
            return []
        return [self._change(replica, ReplicaEvent.CONNECT_FAILED, "refused a connection", now)]

    def note_ended(self, lease: Lease, result: AttemptResult, now: float) -> list[Notice]:
        """An attempt ended. One that began before the replica's state changed says nothing."""
        replica = lease.replica
        if lease.epoch != replica.epoch or result is AttemptResult.UNTOLD:
            return []
        if replica.state is ReplicaState.PROBING:
            return self._note_trial(replica, result, now)
        if replica.state is not ReplicaState.HEALTHY:
            return []
        if result is AttemptResult.FAILED:
            return self._note_failure(replica, now)
        replica.failures_in_row = 0
        self._note_share(replica, result)
        if result is AttemptResult.SHARED:
            return self._note_sickness(now)
        return self._note_outcome(replica, result is AttemptResult.ANOMALY, now)

    def forgive(self, replica: Replica) -> None:
        """Its last anomaly was seen on another replica too: the model's or the prompt's fault."""
        replica.outlier.forgive(self._fleet)
        replica.local.anomalies -= 1

    def merge(self, counts: Sequence[tuple[Replica, int, int]], now: float) -> list[Notice]:
        """Attempts and anomalies that other proxies saw on replicas since they told last."""
        serving = [one for one in counts if one[0].state is ReplicaState.HEALTHY]
        for replica, attempts, anomalies in serving:
            replica.outlier.note(self._fleet, attempts, anomalies)
        notices: list[Notice] = []
        for replica, _, anomalies in serving:
            if anomalies > 0:
                notices += self._weigh(replica, now)
        return notices

    def tick(self, now: float) -> list[Notice]:
        """Puts on trial those that were left alone for long enough."""
        return [
            self._change(replica, ReplicaEvent.PAUSE_OVER, "gets requests on trial", now)
            for replica in self._pool.members
            if replica.paused_until is not None and now >= replica.paused_until
        ]

    # what the operator says

    def drain(self, replica: Replica, reason: str, now: float) -> list[Notice]:
        """No new attempts; running ones end."""
        replica.paused_until = None
        return self._order(replica, ReplicaEvent.DRAIN, reason, now)

    def quarantine(self, replica: Replica, reason: str, now: float) -> list[Notice]:
        """Out until released, whatever the share that is out already."""
        replica.paused_until = None
        return self._order(replica, ReplicaEvent.QUARANTINE, reason, now)

    def release(self, replica: Replica, reason: str, now: float) -> list[Notice]:
        """Back at once, with a clean slate."""
        replica.paused_until = None
        replica.ejections = 0
        return self._order(replica, ReplicaEvent.RELEASE, reason, now)

    def _order(
        self, replica: Replica, event: ReplicaEvent, reason: str, now: float
    ) -> list[Notice]:
        if next_state(replica.state, event) is replica.state:
            return []
        return [self._change(replica, event, reason, now)]

    def take_over(
        self, replica: Replica, seconds: float | None, reason: str, now: float
    ) -> list[Notice]:
        """Follows another proxy's quarantine; within this one's limits, unless it is an order.

        Args:
            seconds: until its trial, ``None`` for an operator's order: until it is released.
        """
        if seconds is not None and self._obstacle(replica) is not None:
            return []
        replica.trials_needed = _TRIALS_AFTER_QUARANTINE
        longest = self._config.eject_max_seconds
        replica.paused_until = None if seconds is None else now + min(seconds, longest)
        change = self._change(replica, ReplicaEvent.QUARANTINE, f"another proxy: {reason}", now)
        replica.is_taken_over = True
        return [change]

    # decisions

    def _note_trial(self, replica: Replica, result: AttemptResult, now: float) -> list[Notice]:
        if result is AttemptResult.SHARED:
            return []
        if result is AttemptResult.CLEAN:
            replica.trials_clean += 1
            if replica.trials_clean < replica.trials_needed:
                return []
            reason = f"{replica.trials_clean} requests on trial went well"
            return [self._change(replica, ReplicaEvent.PROVED, reason, now)]
        is_anomaly = result is AttemptResult.ANOMALY
        event = ReplicaEvent.QUARANTINE if is_anomaly else ReplicaEvent.TRIP
        if is_anomaly:
            replica.trials_needed = _TRIALS_AFTER_QUARANTINE
        self._pause(replica, now)
        reason = f"a request on trial {'was anomalous' if is_anomaly else 'failed'}"
        return [self._change(replica, event, reason, now)]

    def _note_failure(self, replica: Replica, now: float) -> list[Notice]:
        replica.failures_in_row += 1
        if replica.failures_in_row < self._config.trip_after_failures:
            return []
        reason = f"{replica.failures_in_row} failures in a row"
        return self._eject(replica, ReplicaEvent.TRIP, _TRIALS_AFTER_TRIP, reason, now)

    def _note_outcome(self, replica: Replica, is_anomalous: bool, now: float) -> list[Notice]:
        replica.outlier.note(self._fleet, 1, int(is_anomalous))
        replica.local.attempts += 1
        replica.local.anomalies += is_anomalous
        if not is_anomalous:
            self._is_all_sick = self._is_all_sick and self._recent_share >= _WELL_SHARE
            return []
        trouble = self._note_sickness(now)
        return trouble or self._weigh(replica, now)

    def _weigh(self, replica: Replica, now: float) -> list[Notice]:
        """Takes it out if the evidence is strong enough and the replicas are not all sick."""
        if self._is_all_sick:
            return []
        evidence = replica.outlier.evidence(self._fleet)
        if evidence < -log(self._config.quarantine_bound):
            return []
        reason = f"its anomalies stand out from the fleet's (evidence {exp(min(evidence, 99)):.1e})"
        event = ReplicaEvent.QUARANTINE
        return self._eject(replica, event, _TRIALS_AFTER_QUARANTINE, reason, now)

    def _note_share(self, replica: Replica, result: AttemptResult) -> None:
        is_anomalous = result is not AttemptResult.CLEAN
        replica.recent_share += (is_anomalous - replica.recent_share) / _MEMORY_ATTEMPTS
        self._recent_share += (is_anomalous - self._recent_share) / _MEMORY_ATTEMPTS

    def _note_sickness(self, now: float) -> list[Notice]:
        """Whether the replicas are sick alike; told once, also where it comes and goes."""
        serving = [one for one in self._pool.members if one.state is ReplicaState.HEALTHY]
        sick = sum(one.recent_share >= _SICK_SHARE for one in serving)
        was_all_sick = self._is_all_sick
        self._is_all_sick = sick >= 2 and sick * 2 > len(serving)
        if was_all_sick or not self._is_all_sick or now < self._sickness_silent_until:
            return []
        self._sickness_silent_until = now + self._config.eject_seconds
        reason = f"{sick} of {len(serving)} replicas show anomalies: model, prompts or roll-out?"
        return [Trouble(FleetTrouble.ALL_SICK, reason)]

    def _eject(
        self, replica: Replica, event: ReplicaEvent, trials: int, reason: str, now: float
    ) -> list[Notice]:
        obstacle = self._obstacle(replica)
        if obstacle is not None:
            if now < replica.withheld_until:
                return []
            replica.withheld_until = now + self._config.eject_seconds
            reason = f"{reason}; {obstacle}"
            return [Trouble(FleetTrouble.EJECTION_WITHHELD, reason, replica)]
        restored_at = replica.restored_at
        if restored_at is None or now - restored_at >= self._config.eject_max_seconds:
            replica.ejections = 0  # it was well for long enough
        replica.trials_needed = trials
        self._pause(replica, now)
        return [self._change(replica, event, reason, now)]

    def _obstacle(self, replica: Replica) -> str | None:
        """Why it must stay in: a share of the fleet that is too small fails under the load."""
        members = self._pool.members
        ejected = sum(one.state in _EJECTED for one in members)
        healthy = sum(one.state is ReplicaState.HEALTHY for one in members)
        share = self._config.max_ejected_share
        if share <= 0:
            return "taking out is switched off"
        if healthy < 2:
            return "it is the last healthy one"
        if ejected + 1 > max(1, int(share * len(members))):
            return f"{ejected} of {len(members)} are out already"
        return None

    def _pause(self, replica: Replica, now: float) -> None:
        """30 s, 60 s, 90 s ... by the times in a row that it was taken out."""
        replica.ejections += 1
        longest = self._config.eject_max_seconds
        replica.paused_until = now + min(longest, replica.ejections * self._config.eject_seconds)

    def _change(self, replica: Replica, event: ReplicaEvent, reason: str, now: float) -> Change:
        replica.state = next_state(replica.state, event)
        replica.epoch += 1
        replica.is_taken_over = False
        if event is ReplicaEvent.QUARANTINE:
            replica.quarantine_reason = reason
        replica.failures_in_row = replica.trials_clean = replica.trials_running = 0
        if replica.state is ReplicaState.PROBING:
            replica.paused_until = None
            replica.adapter = None  # it may have been restarted meanwhile, as another engine
        if replica.state is ReplicaState.HEALTHY:
            replica.restored_at = now
            replica.recent_share = 0.0
            replica.outlier.reset()
        self._pool.note_change()
        return Change(replica, reason)
