"""The attempts that run now. Whoever shows them asks; nothing is told per token."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from detectors.verdict import AnomalyKind
from retry_proxy.events import StepsQuality


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """One attempt as it is now. Numbers and names: no text.

    Attributes:
        rid: the id by which the engine knows it.
        started_at: unix time, seconds.
        tokens: generated so far, as far as the engine said.
        held_tokens: of these, held back from the client.
        steps, drafted, accepted: sums so far, ``None`` where the engine did not say.
        recent_steps: drafts accepted in each of the last steps, one byte a step, oldest first.
        steps_quality: how these are known.
        is_watching: a detector's statistic is past its watch level.
        kind: of a verdict that was let through, or whose abort is under way.
    """

    rid: str
    request_id: str
    attempt: int
    replica: str
    engine: str
    model: str
    started_at: float
    is_hedge: bool
    tokens: int = 0
    held_tokens: int = 0
    steps: int | None = None
    drafted: int | None = None
    accepted: int | None = None
    recent_steps: bytes = b""
    steps_quality: StepsQuality = StepsQuality.EXACT
    is_watching: bool = False
    kind: AnomalyKind | None = None


class Observed(Protocol):
    """An attempt that can be looked at while it runs."""

    @property
    def is_suspect(self) -> bool:
        """It looks doubtful, or has a verdict. Cheap: asked of every one before some are shown."""
        ...

    def seen(self) -> RunningAttempt:
        """What it is now."""
        ...


class Running:
    """By ``rid``. An attempt costs one entry, its tokens nothing."""

    def __init__(self) -> None:
        self._attempts: dict[str, Observed] = {}

    def __len__(self) -> int:
        return len(self._attempts)

    def begin(self, rid: str, attempt: Observed) -> None:
        """It is dispatched."""
        self._attempts[rid] = attempt

    def end(self, rid: str) -> None:
        """It is over."""
        self._attempts.pop(rid, None)

    def suspicions(self) -> Iterator[tuple[str, bool]]:
        """Every attempt, the oldest first, and whether it is suspect."""
        for rid, attempt in self._attempts.items():
            yield rid, attempt.is_suspect

    def seen(self, rid: str) -> RunningAttempt | None:
        """One attempt as it is now; ``None`` if it is over."""
        attempt = self._attempts.get(rid)
        return None if attempt is None else attempt.seen()
