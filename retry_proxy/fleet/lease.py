"""One attempt's place on a replica."""

from dataclasses import dataclass, field
from typing import Self

from retry_proxy.events import ReplicaState
from retry_proxy.fleet.replica import Replica

_LEAST_TOKENS = 16  # an answer longer than expected still takes its place in every batch


@dataclass(slots=True)
class Lease:
    """An attempt, or a pass-through, that runs on a replica: between ``with`` and its end.

    Attributes:
        tokens: what it is expected to cost, its prompt included.
        prompt_tokens: the prompt's part of it, done once the first token is out.
        epoch: the replica's when it began: what ends in a later one says nothing about it.
    """

    replica: Replica
    tokens: int
    prompt_tokens: int = 0
    epoch: int = field(init=False)
    _left: int = field(init=False)  # its part of the replica's outstanding tokens
    _has_begun: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.epoch = self.replica.epoch
        self._left = self.tokens

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> None:
        """Counts it."""
        replica = self.replica
        self._has_begun = True
        replica.in_flight += 1
        replica.attempts += 1
        replica.outstanding_tokens += self._left
        replica.trials_running += replica.state is ReplicaState.PROBING

    def note_received(self, tokens: int) -> None:
        """So many tokens of its answer are out by now: so much less is outstanding.

        Cheap, but not for every token: now and then will do.
        """
        expected = self.tokens - self.prompt_tokens
        left = max(expected - tokens, min(_LEAST_TOKENS, self.tokens))
        if self._has_begun and left < self._left:
            self.replica.outstanding_tokens -= self._left - left
            self._left = left

    def end(self) -> None:
        """Gives its place back, once."""
        if not self._has_begun:
            return
        self._has_begun = False
        replica = self.replica
        replica.in_flight -= 1
        replica.outstanding_tokens -= self._left
        if replica.epoch == self.epoch and replica.state is ReplicaState.PROBING:
            replica.trials_running -= 1
