"""What several proxies in front of one fleet tell each other. No I/O; takes ``now``.

Each tells its whole state again and again, so there is nothing to merge after an outage: who is no
longer heard says nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from retry_proxy.decide.budget import RetryBudget
from retry_proxy.events import ReplicaState
from retry_proxy.fleet.pool import Pool
from retry_proxy.fleet.replica import Replica
from retry_proxy.fleet.ward import Notice, Ward

_MOST_GONE = 32  # proxies whose last counts are kept


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


@dataclass(frozen=True, slots=True)
class Told:
    """All that one proxy tells.

    Attributes:
        counts: attempts and anomalies that it saw since it started, by replica. Sums, not news:
            what was missed during an outage is in the next ones.
    """

    quarantines: list[SharedQuarantine]
    counts: dict[str, tuple[int, int]]


class Gossip:
    """This proxy's part of the talk."""

    def __init__(self, pool: Pool, ward: Ward, budget: RetryBudget) -> None:
        self._pool = pool
        self._ward = ward
        self._budget = budget
        self._heard: set[tuple[str, str, int]] = set()  # decisions that were followed or declined
        self._counts: dict[str, dict[str, tuple[int, int]]] = {}  # of each peer, as heard last
        self._held: dict[str, str] = {}  # replica -> the proxy whose operator holds it out

    def outgoing(self, now: float, unix_now: float) -> Told:
        """What this proxy saw and decided; what it took over from others is theirs to tell."""
        counts = {
            one.address: (one.local.attempts, one.local.anomalies) for one in self._pool.members
        }
        return Told(self._quarantines(now, unix_now), counts)

    def _quarantines(self, now: float, unix_now: float) -> list[SharedQuarantine]:
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

    def incoming(self, peers: Mapping[str, Told], now: float, unix_now: float) -> list[Notice]:
        """What the other live proxies told last.

        They share the retry budget's floor: its other part grows with each one's requests anyway.
        """
        self._budget.share_floor(1 + len(peers))
        notices: list[Notice] = []
        current: set[tuple[str, str, int]] = set()
        held: dict[str, str] = {}
        for peer, all_told in peers.items():
            for told in all_told.quarantines:
                decision = (peer, told.replica, told.number)
                current.add(decision)
                if told.until is None:
                    held[told.replica] = peer
                if decision not in self._heard:
                    notices += self._follow(told, now, unix_now)
        notices += self._let_go(held, now)
        notices += self._ward.merge(self._news(peers), now)
        self._remember(peers)
        self._heard, self._held = current, held
        return notices

    def _remember(self, peers: Mapping[str, Told]) -> None:
        """Those not heard now too: after an outage not all are back at the same moment."""
        gone = [(peer, counts) for peer, counts in self._counts.items() if peer not in peers]
        now = {peer: told.counts for peer, told in peers.items()}
        self._counts = dict(gone[-_MOST_GONE:]) | now

    def _news(self, peers: Mapping[str, Told]) -> list[tuple[Replica, int, int]]:
        """What others counted since they were heard last; who is new begins to count now."""
        news: list[tuple[Replica, int, int]] = []
        for peer, told in peers.items():
            for address, (attempts, anomalies) in self._counts.get(peer, {}).items():
                replica, counts = self._pool.get(address), told.counts.get(address)
                if replica is None or counts is None or counts[0] <= attempts:
                    continue
                news.append((replica, counts[0] - attempts, counts[1] - anomalies))
        return news

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
