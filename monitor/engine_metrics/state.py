"""What the scrapes of all replicas add up to. Decides; fetches nothing.

A counter that went down means that the engine was started again: what it shows is new.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.engine_metrics.names import Quantity
from monitor.engine_metrics.reading import Reading

# Told per engine, not per replica: replicas come and go, and series cost memory.
SUMMED = (
    Quantity.ABORTS,
    Quantity.GENERATED,
    Quantity.FIRST_TOKENS,
    Quantity.FIRST_TOKEN_SECONDS,
    Quantity.FINISHED,
    Quantity.FINISHED_SECONDS,
    Quantity.VERIFY_STEPS,
)


@dataclass(slots=True)
class EngineState:
    """One replica's last scrape.

    Attributes:
        reading: ``None`` while none succeeded since the last failure.
        error: why the last scrape failed, ``None`` if it did not.
        accept_length, accept_rate: since the scrape before, ``None`` where nothing tells.
        taken_at: when ``last`` was read, on the scraper's clock.
        preemptions: since this process started watching, restarts of the engine included.
    """

    engine: str
    reading: Reading | None = None
    error: str | None = None
    accept_length: float | None = None
    accept_rate: float | None = None
    preemptions: float | None = None
    last: Reading | None = None  # survives a failed scrape
    taken_at: float | None = None


@dataclass(slots=True)
class EngineStates:
    """All replicas' states, and the sums over them by engine."""

    replicas: dict[str, EngineState] = field(default_factory=dict)
    totals: dict[tuple[str, Quantity], float] = field(default_factory=dict)
    positions: dict[tuple[str, int], float] = field(default_factory=dict)

    def take(self, address: str, engine: str, reading: Reading, now: float | None = None) -> None:
        """A scrape succeeded, at ``now``."""
        state = self.replicas.get(address)
        if state is None or state.engine != engine:
            state = self.replicas[address] = EngineState(engine)
        before = state.last
        state.reading = state.last = reading
        state.taken_at = now
        state.error = None
        if before is not None:
            self._add_up(state, before, reading)
        _note_preemptions(state, before, reading)
        state.accept_length, state.accept_rate = _acceptance(before, reading)

    def fail(self, address: str, engine: str, error: str) -> None:
        """A scrape failed; the old numbers are no longer true."""
        state = self.replicas.setdefault(address, EngineState(engine))
        state.reading, state.error = None, error
        state.accept_length = state.accept_rate = None

    def keep_only(self, addresses: frozenset[str]) -> None:
        """Forgets replicas that left the fleet."""
        for address in set(self.replicas) - addresses:
            del self.replicas[address]

    def _add_up(self, state: EngineState, before: Reading, now: Reading) -> None:
        for quantity in SUMMED:
            if quantity in now.values:
                key = (state.engine, quantity)
                grown = _grown(before.values, now.values, quantity)
                self.totals[key] = self.totals.get(key, 0.0) + grown
        for position, value in now.positions.items():
            place = (state.engine, position)
            grown = _growth(before.positions.get(position, 0.0), value)
            self.positions[place] = self.positions.get(place, 0.0) + grown


def _growth(before: float, now: float) -> float:
    return now - before if now >= before else now


def _grown(
    before: Mapping[Quantity, float], now: Mapping[Quantity, float], quantity: Quantity
) -> float:
    return _growth(before.get(quantity, 0.0), now[quantity])


def _note_preemptions(state: EngineState, before: Reading | None, now: Reading) -> None:
    if Quantity.PREEMPTIONS not in now.values:
        return
    grown = 0.0
    if before is not None:
        grown = _grown(before.values, now.values, Quantity.PREEMPTIONS)
    state.preemptions = (state.preemptions or 0.0) + grown


def _acceptance(before: Reading | None, now: Reading) -> tuple[float | None, float | None]:
    """Accept length and rate: from counters between two scrapes, else the engine's gauges.

    A gauge is over the engine's last log interval, or since its start.
    """
    length = now.values.get(Quantity.ACCEPT_LENGTH_GAUGE)
    rate = now.values.get(Quantity.ACCEPT_RATE_GAUGE)
    if before is None:
        return length, rate
    grown = {
        one: _grown(before.values, now.values, one)
        for one in (Quantity.VERIFY_STEPS, Quantity.DRAFTED, Quantity.ACCEPTED)
        if one in now.values
    }
    accepted = grown.get(Quantity.ACCEPTED)
    if accepted is None:
        return length, rate
    steps, drafted = grown.get(Quantity.VERIFY_STEPS), grown.get(Quantity.DRAFTED)
    return (
        1.0 + accepted / steps if steps else None,
        accepted / drafted if drafted else None,
    )
