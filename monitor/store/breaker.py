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

    def succeeded(self) -> None:
        """A call succeeded."""
        self._closed_again_at = None
