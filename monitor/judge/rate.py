"""How many texts a minute the judge takes. Decides only; takes ``now``."""


class Allowance:
    """A bucket that refills evenly.

    Args:
        per_minute: texts; also how many may come at once.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._left = float(per_minute)
        self._at: float | None = None

    def take(self, now: float, *, reserve_share: float = 0.0) -> bool:
        """Whether another one may be judged now; if so, it is counted.

        Args:
            now: monotonic time, seconds.
            reserve_share: share of the bucket that this one must leave for others.
        """
        if self._at is not None:
            refill = max(0.0, now - self._at) * self.per_minute / 60
            self._left = min(float(self.per_minute), self._left + refill)
        self._at = now
        if self._left - 1 < reserve_share * self.per_minute:
            return False
        self._left -= 1
        return True
