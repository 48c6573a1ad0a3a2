"""Which replica takes the next attempt. Pure."""

from collections.abc import Collection, Sequence

from retry_proxy.events import ReplicaState
from retry_proxy.fleet.replica import Replica


def choose(replicas: Sequence[Replica], tried: Collection[str]) -> Replica | None:
    """The least loaded replica that this request has not tried; ties go to the least used.

    Unreachable ones are the last resort: one that has just come back is found before its next
        probe, and a refused connection costs next to nothing.
    """
    left = [replica for replica in replicas if replica.address not in tried]
    if not left:
        return None
    return min(left, key=_rank)


def has_other(replicas: Sequence[Replica], tried: Collection[str]) -> bool:
    """A reachable replica is left that this request has not tried."""
    return any(
        replica.address not in tried and replica.state is ReplicaState.HEALTHY
        for replica in replicas
    )


def _rank(replica: Replica) -> tuple[bool, int, int]:
    return (replica.state is ReplicaState.UNREACHABLE, replica.in_flight, replica.attempts)


def probe_delay(refusals: int, *, first_seconds: float, longest_seconds: float) -> float:
    """Back-off of the probes: doubled with each refusal in a row."""
    return min(longest_seconds, first_seconds * 2.0 ** min(refusals - 1, 30)) if refusals else 0.0
