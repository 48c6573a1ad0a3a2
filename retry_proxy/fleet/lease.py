"""One attempt's place on a replica."""

from dataclasses import dataclass, field
from typing import Self

from retry_proxy.events import ReplicaState
from retry_proxy.fleet.replica import Replica


@dataclass(slots=True)
class Lease:
    """An attempt, or a pass-through, that runs on a replica: between ``with`` and its end.

    Attributes:
        tokens: its part of the replica's outstanding tokens.
        epoch: the replica's when it began: what ends in a later one says nothing about it.
    """

    replica: Replica
    tokens: int
    epoch: int = field(init=False)

    def __post_init__(self) -> None:
        self.epoch = self.replica.epoch

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> None:
        """Counts it."""
        replica = self.replica
        replica.in_flight += 1
        replica.attempts += 1
        replica.outstanding_tokens += self.tokens
        replica.trials_running += replica.state is ReplicaState.PROBING

    def end(self) -> None:
        """Gives its place back."""
        replica = self.replica
        replica.in_flight -= 1
        replica.outstanding_tokens -= self.tokens
        if replica.epoch == self.epoch and replica.state is ReplicaState.PROBING:
            replica.trials_running -= 1
