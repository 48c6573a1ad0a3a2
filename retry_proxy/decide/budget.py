"""Retry budget: a share of the requests.

And a floor per second. Pure: time comes as an argument.
"""

import math

_ONE = 1.0 - 1e-9  # one retry, less the rounding of a thousand shares


class RetryBudget:
    """Bounds retries so that a sick fleet is not buried under them (after Finagle's budget).

    Requests earn ``ratio`` retries each, forgotten with a time constant of ``memory_seconds``;
    beside that ``min_per_second`` retries are allowed, saved for at most one second.

    Attributes:
        min_per_second: of all proxies together.
    """

    def __init__(
        self, *, ratio: float, min_per_second: float, memory_seconds: float = 10.0
    ) -> None:
        self.ratio = ratio
        self.min_per_second = min_per_second
        self._proxies = 1
        self._min_per_second = min_per_second  # this proxy's part
        self._memory_seconds = memory_seconds
        self._earned = 0.0
        self._floor = max(min_per_second, 0.0)
        self._at: float | None = None

    def note_request(self, now: float) -> None:
        """A request arrived."""
        self._advance(now)
        self._earned += self.ratio

    def note_client_retry(self, now: float) -> None:
        """A request arrived that its client repeats: it earns nothing and is paid for, if it can.

        It is served all the same: only the proxy's own retries can be refused.
        """
        if self.can_spend(now):
            self.spend(now)

    def share_floor(self, proxies: int) -> None:
        """So many proxies send to the same fleet; the floor is for all of them together."""
        self._proxies = max(1, proxies)
        self._min_per_second = self.min_per_second / self._proxies

    def change(self, *, ratio: float, min_per_second: float) -> None:
        """Other bounds from now on; what requests have earned so far stays."""
        self.ratio, self.min_per_second = ratio, min_per_second
        self.share_floor(self._proxies)

    def can_spend(self, now: float) -> bool:
        """Whether one more retry is within the budget."""
        self._advance(now)
        return self._floor >= _ONE or self._earned >= _ONE

    def left(self, now: float) -> float:
        """Retries that it would allow now."""
        self._advance(now)
        return self._floor + self._earned

    def spend(self, now: float) -> None:
        """Takes one retry; to be asked before with :meth:`can_spend`."""
        assert self.can_spend(now), "a retry was taken that the budget does not have"
        if self._floor >= _ONE:
            self._floor -= 1.0
        else:
            self._earned -= 1.0

    def _advance(self, now: float) -> None:
        passed = 0.0 if self._at is None else max(0.0, now - self._at)
        self._at = now
        self._earned *= math.exp(-passed / self._memory_seconds)
        self._floor = min(
            max(self._min_per_second, 1.0) if self._min_per_second > 0 else 0.0,
            self._floor + passed * self._min_per_second,
        )
