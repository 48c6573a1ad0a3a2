"""One attempt's place on a replica."""

from dataclasses import dataclass

from retry_proxy.fleet.replica import Replica


@dataclass(frozen=True, slots=True)
class Lease:
    """An attempt, or a pass-through, that runs on a replica.

    Attributes:
        tokens: its part of the replica's outstanding tokens.
    """

    replica: Replica
    tokens: int

    def begin(self) -> None:
        """Counts it."""
        self.replica.in_flight += 1
        self.replica.attempts += 1
        self.replica.outstanding_tokens += self.tokens

    def end(self) -> None:
        """Gives its place back."""
        self.replica.in_flight -= 1
        self.replica.outstanding_tokens -= self.tokens
