"""How many generations may be stopped on one replica. Pure: time comes as an argument."""

from dataclasses import dataclass

_WINDOW_SECONDS = 60.0


@dataclass(slots=True)
class AbortLimit:
    """A bucket that holds one minute's aborts.

    Cancelling is itself a known trigger of KV races on engines without the fix: stopping every
        answer of a sick replica can keep it sick.
    """

    used: float = 0.0
    at: float | None = None

    def can_abort(self, now: float, per_minute: int) -> bool:
        """Whether one more is within the limit."""
        self._advance(now, per_minute)
        return self.used + 1.0 <= per_minute + 1e-9

    def note_abort(self, now: float, per_minute: int) -> None:
        """One was made."""
        self._advance(now, per_minute)
        self.used += 1.0

    def _advance(self, now: float, per_minute: int) -> None:
        passed = 0.0 if self.at is None else max(0.0, now - self.at)
        self.at = now
        self.used = max(0.0, self.used - passed * per_minute / _WINDOW_SECONDS)
