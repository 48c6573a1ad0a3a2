"""The members of the fleet, and which one takes the next attempt. No I/O; takes ``now``."""

import random
from collections.abc import Collection, Iterator, Sequence

from retry_proxy.config import BalanceName
from retry_proxy.events import ReplicaState
from retry_proxy.fleet import balance
from retry_proxy.fleet.demand import Demand
from retry_proxy.fleet.replica import Replica
from retry_proxy.fleet.ring import Ring

# Who is asked when no healthy replica is left, in this order. An unreachable one comes first: one
# that has just come back is found before its next probe, and a refusal costs next to nothing. A
# draining one, and what the operator has quarantined, is never asked.
_LAST_RESORTS = (
    ReplicaState.UNREACHABLE,
    ReplicaState.PROBING,
    ReplicaState.TRIPPED,
    ReplicaState.QUARANTINED,
)
_FIRST_GUESS_TOKENS = 256.0  # of an answer, until some have ended
_MEMORY_ANSWERS = 100.0
_TRIALS_AT_ONCE = 2


class Pool:
    """Choice among the members.

    Args:
        chance: for the policy that draws.
    """

    def __init__(
        self,
        policy: BalanceName,
        *,
        slow_start_seconds: float = 0.0,
        chance: random.Random | None = None,
    ) -> None:
        self._policy = policy
        self._slow_start_seconds = slow_start_seconds
        self._chance = chance or random.Random()
        self._members: dict[str, Replica] = {}
        self._open: list[Replica] = []  # the healthy ones
        self._on_trial: list[Replica] = []
        self._busy_until = 0.0
        self._ring = Ring()
        self._mean_answer_tokens = _FIRST_GUESS_TOKENS

    @property
    def members(self) -> Sequence[Replica]:
        """All of them, in the order in which they came."""
        return list(self._members.values())

    def get(self, address: str) -> Replica | None:
        """The member at an address."""
        return self._members.get(address)

    def add(self, replica: Replica) -> None:
        """A new member."""
        assert replica.address not in self._members, "a replica joined twice"
        self._members[replica.address] = replica
        self._ring.add(replica.address)
        self.note_change()

    def remove(self, replica: Replica) -> None:
        """It is gone."""
        del self._members[replica.address]
        self._ring.remove(replica.address)
        self.note_change()

    def note_change(self) -> None:
        """Somebody's state changed."""
        members = self._members.values()
        self._open = [one for one in members if one.state is ReplicaState.HEALTHY]
        self._on_trial = [one for one in members if one.state is ReplicaState.PROBING]

    def note_busy(self, replica: Replica, until: float) -> None:
        """It asked to be spared."""
        replica.busy_until = max(replica.busy_until, until)
        self._busy_until = max(self._busy_until, until)

    # load

    def expected_tokens(self, demand: Demand) -> int:
        """What a request will cost: clients often ask for far more tokens than an answer takes."""
        mean = int(self._mean_answer_tokens)
        limit = mean if demand.max_tokens is None else min(mean, demand.max_tokens)
        return demand.prompt_tokens + limit

    def note_answer(self, tokens: int) -> None:
        """An answer of so many tokens came to its end."""
        self._mean_answer_tokens += (tokens - self._mean_answer_tokens) / _MEMORY_ANSWERS

    # choice

    def has_other(self, tried: Collection[str]) -> bool:
        """A healthy replica is left that this request has not tried."""
        return any(replica.address not in tried for replica in self._open)

    def has_free(self, tried: Collection[str], now: float) -> bool:
        """The same, and it did not ask to be spared."""
        return any(
            replica.address not in tried and replica.busy_until <= now for replica in self._open
        )

    def choose(
        self, tried: Collection[str], demand: Demand, now: float, *, may_try: bool = False
    ) -> Replica | None:
        """The replica for the next attempt of a request that has tried some.

        Args:
            may_try: a replica on trial may get it: it is watched, and another one can do it again.
        """
        if may_try and self._on_trial and not tried:
            for replica in self._on_trial:
                if replica.trials_running < _TRIALS_AT_ONCE:
                    return replica
        for candidates in self._tiers():
            left = [one for one in candidates if one.address not in tried] if tried else candidates
            if left and now < self._busy_until:
                left = [one for one in left if one.busy_until <= now] or left
            if left:
                return self._best(left, demand, now)
        return None

    def _tiers(self) -> Iterator[Sequence[Replica]]:
        yield self._open
        for state in _LAST_RESORTS:
            yield [one for one in self._members.values() if one.state is state and not one.is_held]

    def _best(self, replicas: Sequence[Replica], demand: Demand, now: float) -> Replica:
        slow = self._slow_start_seconds
        tokens = self.expected_tokens(demand)
        if self._policy is BalanceName.TWO_CHOICES:
            return balance.two_choices(replicas, tokens, now, slow, self._chance)
        if self._policy is BalanceName.PREFIX and demand.prefix_key is not None:
            by_name = {one.address: one for one in replicas}
            key = demand.prefix_key
            if found := balance.by_prefix(by_name, self._ring, key, tokens, now, slow):
                return found
        return balance.least_tokens(replicas, tokens, now, slow)


def probe_delay(refusals: int, *, first_seconds: float, longest_seconds: float) -> float:
    """Back-off of the probes: doubled with each refusal in a row."""
    return min(longest_seconds, first_seconds * 2.0 ** min(refusals - 1, 30)) if refusals else 0.0
