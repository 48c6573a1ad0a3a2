"""What each replica did in the last minute, counted in buckets of five seconds."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from retry_proxy.events import AttemptEnded, AttemptOutcome

WINDOW_SECONDS = 60
_BUCKET_SECONDS = 5
_BUCKETS = WINDOW_SECONDS // _BUCKET_SECONDS
_FAILED = (AttemptOutcome.CONNECT_FAILED, AttemptOutcome.UPSTREAM_ERROR)


@dataclass(slots=True)
class Counts:
    """Attempts that ended.

    Attributes:
        steps, accepted: of those whose engine told both.
    """

    attempts: int = 0
    retries: int = 0
    anomalies: int = 0
    failures: int = 0
    tokens: int = 0
    steps: int = 0
    accepted: int = 0

    def take(self, event: AttemptEnded) -> None:
        """Counts one."""
        self.attempts += 1
        self.retries += event.attempt > 1 and not event.is_hedge
        self.anomalies += event.verdict is not None
        self.failures += event.outcome in _FAILED
        self.tokens += event.completion_tokens
        if event.steps is not None and event.accepted is not None:
            self.steps += event.steps
            self.accepted += event.accepted

    def add(self, other: "Counts") -> None:
        """Counts those of ``other`` as well."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class RecentAttempts:
    """By replica.

    Args:
        most_replicas: bound; the one that was silent for longest makes room.
        clock: monotonic seconds.
    """

    def __init__(
        self, most_replicas: int = 1000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most_replicas = most_replicas
        self._clock = clock
        self._buckets: OrderedDict[str, dict[int, Counts]] = OrderedDict()

    def take(self, event: AttemptEnded) -> None:
        """An attempt ended."""
        buckets = self._buckets.setdefault(event.replica, {})
        self._buckets.move_to_end(event.replica)
        number = self._number()
        if number not in buckets:
            self._forget_old(buckets, number)
            buckets[number] = Counts()
        buckets[number].take(event)
        if len(self._buckets) > self._most_replicas:
            self._buckets.popitem(last=False)

    def of(self, replica: str) -> Counts:
        """The last 55 to 60 seconds."""
        oldest, total = self._number() - _BUCKETS, Counts()
        for number, counts in self._buckets.get(replica, {}).items():
            if number > oldest:
                total.add(counts)
        return total

    def _number(self) -> int:
        return int(self._clock() // _BUCKET_SECONDS)

    @staticmethod
    def _forget_old(buckets: dict[int, Counts], number: int) -> None:
        for old in [one for one in buckets if one <= number - _BUCKETS]:
            del buckets[old]
