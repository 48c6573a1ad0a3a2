"""What several proxies in front of one fleet tell each other. No I/O; takes ``now``.

Each tells its whole state again and again, so there is nothing to merge after an outage: who is no
longer heard says nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retry_proxy.decide.budget import RetryBudget
from retry_proxy.events import ReplicaState
from retry_proxy.fleet.pool import Pool
from retry_proxy.fleet.ward import Notice, Ward


@dataclass(frozen=True, slots=True)
class SharedQuarantine:
    """A replica that one proxy has quarantined by its own decision.

    Attributes:
        number: with the proxy and the replica it names the decision.
        until: unix time, ``None`` until the operator releases it.
    """

    replica: str
    number: int
    until: float | None
    reason: str


class Exchange:
    """This proxy's part of the talk."""

    def __init__(self, pool: Pool, ward: Ward, budget: RetryBudget) -> None:
        self._pool = pool
        self._ward = ward
        self._budget = budget
        self._heard: set[tuple[str, str, int]] = set()  # decisions that were followed or declined
        self._held: dict[str, str] = {}  # replica -> the proxy whose operator holds it out

    def outgoing(self, now: float, unix_now: float) -> list[SharedQuarantine]:
        """What this proxy decided; what it took over from others is theirs to tell."""
        return [
            SharedQuarantine(
                replica.address,
                replica.epoch,
                None if replica.paused_until is None else unix_now + replica.paused_until - now,
                replica.quarantine_reason,
            )
            for replica in self._pool.members
            if replica.state is ReplicaState.QUARANTINED and not replica.is_taken_over
        ]

    def incoming(
        self, peers: Mapping[str, Sequence[SharedQuarantine]], now: float, unix_now: float
    ) -> list[Notice]:
        """What the other live proxies told last.

        They share the retry budget's floor: its other part grows with each one's requests anyway.
        """
        self._budget.share_floor(1 + len(peers))
        notices: list[Notice] = []
        current: set[tuple[str, str, int]] = set()
        held: dict[str, str] = {}
        for peer, quarantines in peers.items():
            for told in quarantines:
                decision = (peer, told.replica, told.number)
                current.add(decision)
                if told.until is None:
                    held[told.replica] = peer
                if decision not in self._heard:
                    notices += self._follow(told, now, unix_now)
        notices += self._let_go(held, now)
        self._heard, self._held = current, held
        return notices

    def _follow(self, told: SharedQuarantine, now: float, unix_now: float) -> list[Notice]:
        replica = self._pool.get(told.replica)
        if replica is None:
            return []
        if told.until is None:
            is_out = replica.is_held or replica.state is ReplicaState.DRAINING
            return [] if is_out else self._ward.take_over(replica, None, told.reason, now)
        seconds = told.until - unix_now
        if replica.state is not ReplicaState.HEALTHY or seconds <= 0:
            return []
        return self._ward.take_over(replica, seconds, told.reason, now)

    def _let_go(self, held: Mapping[str, str], now: float) -> list[Notice]:
        """Brings back what no operator holds out any more."""
        notices: list[Notice] = []
        for address in self._held.keys() - held.keys():
            replica = self._pool.get(address)
            if replica is not None and replica.is_taken_over and replica.paused_until is None:
                notices += self._ward.release(replica, "released at another proxy", now)
        return notices
