"""Acceptance of the last healthy attempts, for ``specwatch calibrate --proxy``. Numbers only."""

from collections import deque
from typing import Any

from retry_proxy.events import AttemptEnded, AttemptOutcome

KEPT_ATTEMPTS = 500
MIN_STEPS = 16
PAGE = 100


class AcceptanceLog:
    """A ring of attempts that ended well. Flagged ones never teach: they do not get in."""

    def __init__(self, kept: int = KEPT_ATTEMPTS) -> None:
        self._kept: deque[tuple[int, dict[str, Any]]] = deque(maxlen=kept)
        self._count = 0

    def take(self, event: AttemptEnded) -> None:
        """Keeps the attempt if something can be learned from it."""
        if event.outcome is not AttemptOutcome.COMPLETED or event.verdict is not None:
            return
        if len(event.accepted_per_step) < MIN_STEPS:
            return
        self._count += 1
        row: dict[str, Any] = {
            "id": event.rid,
            "replica": event.replica,
            "model": event.model,
            "engine": event.engine,
            "accepted_per_step": list(event.accepted_per_step),
        }
        if event.drafted is not None and event.steps:
            row["num_drafts"] = max(-(-event.drafted // event.steps), *event.accepted_per_step)
        if event.temperature is not None:
            row["temperature"] = event.temperature
        self._kept.append((self._count, row))

    def page(self, since: int) -> dict[str, Any]:
        """Attempts after number ``since``, oldest first, and the number to go on from."""
        found = [(number, row) for number, row in self._kept if number > since][:PAGE]
        return {
            "attempts": [row for _, row in found],
            "next": found[-1][0] if found else max(since, 0),
        }
