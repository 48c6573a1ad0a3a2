"""Which of several replicas that would do takes the next attempt: three policies. Pure."""

import random
from collections.abc import Mapping, Sequence

from retry_proxy.fleet.replica import Replica
from retry_proxy.fleet.ring import Ring

_LOWEST_RAMP = 0.1
# Mirrokni, Thorup, Zadimoghaddam: Consistent Hashing with Bounded Loads (2016).
LOAD_BOUND = 1.25
_IDLE_TOKENS = 4096  # a replica with less to do is not loaded: one batch of a few requests


def ramp(replica: Replica, now: float, slow_start_seconds: float) -> float:
    """The share of its part that a replica takes: grows to 1 after it came back.

    Its caches are empty and its first steps compile: at full load at once it would be slow and be
        thrown out again.
    """
    if replica.restored_at is None or slow_start_seconds <= 0:
        return 1.0
    passed = (now - replica.restored_at) / slow_start_seconds
    return min(1.0, max(_LOWEST_RAMP, passed))


def pressure(replica: Replica, tokens: int, now: float, slow_start_seconds: float) -> float:
    """Its outstanding tokens with this request's, as if it were at full share."""
    outstanding = replica.outstanding_tokens + tokens
    if replica.restored_at is None:
        return outstanding
    return outstanding / ramp(replica, now, slow_start_seconds)


def least_tokens(
    replicas: Sequence[Replica], tokens: int, now: float, slow_start_seconds: float
) -> Replica:
    """The one with the fewest outstanding tokens; ties go to the least used."""
    best = replicas[0]
    best_pressure = pressure(best, tokens, now, slow_start_seconds)
    for replica in replicas:
        if replica.restored_at is None:
            found: float = replica.outstanding_tokens + tokens
        else:
            found = pressure(replica, tokens, now, slow_start_seconds)
        if found < best_pressure or (found == best_pressure and replica.attempts < best.attempts):
            best, best_pressure = replica, found
    return best


def two_choices(
    replicas: Sequence[Replica],
    tokens: int,
    now: float,
    slow_start_seconds: float,
    chance: random.Random,
) -> Replica:
    """The less loaded of two drawn at random.

    Several proxies that all know the same least loaded replica would all send to it at once.
    """
    if len(replicas) <= 2:
        return least_tokens(replicas, tokens, now, slow_start_seconds)
    first = chance.randrange(len(replicas))
    second = chance.randrange(len(replicas) - 1)
    pair = (replicas[first], replicas[second + (second >= first)])
    return least_tokens(pair, tokens, now, slow_start_seconds)


def by_prefix(
    replicas: Mapping[str, Replica],
    ring: Ring,
    key: int,
    tokens: int,
    now: float,
    slow_start_seconds: float,
) -> Replica | None:
    """The first on the ring whose load stays within the bound, so that prefix caches are hit.

    Args:
        replicas: those that would do, by name on the ring.

    Returns:
        ``None`` if none stays within the bound: a request larger than all others' loads.
    """
    outstanding = sum([replica.outstanding_tokens for replica in replicas.values()])
    limit = max(LOAD_BOUND * (outstanding + tokens) / len(replicas), tokens, _IDLE_TOKENS)
    for name in ring.walk(key):
        replica = replicas.get(name)
        if replica is not None and pressure(replica, tokens, now, slow_start_seconds) <= limit:
            return replica
    return None
