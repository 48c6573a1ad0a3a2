"""When to leave a failing server alone. Decides only; takes ``now``."""


class Breaker:
    """Open for a while after a failure, so that an outage costs one timeout, not one per call.

    Args:
        pause_seconds: how long a failure keeps calls away. Bounds the time to notice a recovery.
    """

    def __init__(self, pause_seconds: float = 1.0) -> None:
        self.pause_seconds = pause_seconds
        self.failures = 0
        self._closed_again_at: float | None = None
        self._down_since: float | None = None
        self._away_seconds = 0.0

    @property
    def is_up(self) -> bool:
        """Whether the last call succeeded (or there was none)."""
        return self._closed_again_at is None

    def may_call(self, now: float) -> bool:
        """Whether a call is worth trying."""
        return self._closed_again_at is None or now >= self._closed_again_at

    def failed(self, now: float) -> None:
        """A call failed."""
        self.failures += 1
        self._closed_again_at = now + self.pause_seconds
        if self._down_since is None:
            self._down_since = now

    def succeeded(self, now: float) -> None:
        """A call succeeded."""
        self._away_seconds = self.away_seconds(now)
        self._closed_again_at = self._down_since = None

    def away_seconds(self, now: float) -> float:
        """Time between a first failure and the success after it, all added up."""
        current = 0.0 if self._down_since is None else now - self._down_since
        return self._away_seconds + current
