"""How an incident's engine was doing, beside the other replicas. From the last scrapes; pure."""

from collections.abc import Iterable
from statistics import median

import msgspec

from monitor.engine_metrics.names import Quantity
from monitor.engine_metrics.state import EngineState, EngineStates

_COUNTED = {
    "running": Quantity.RUNNING,
    "waiting": Quantity.WAITING,
    "cache_usage": Quantity.CACHE_USAGE,
    "aborts": Quantity.ABORTS,
}


class EngineNumbers(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine told of itself; ``None`` where it does not.

    Attributes:
        running, waiting: requests in its batch, and in its queue.
        cache_usage: share of its KV cache in use, 0 to 1.
        aborts: requests aborted since it was started.
        accept_length, accept_rate: of all its requests, between its last two scrapes.
    """

    running: float | None = None
    waiting: float | None = None
    cache_usage: float | None = None
    aborts: float | None = None
    accept_length: float | None = None
    accept_rate: float | None = None


class EngineThen(msgspec.Struct, frozen=True, kw_only=True):
    """The engine's numbers at an incident.

    Attributes:
        age_seconds: of the scrape they are from.
        error: why a later scrape failed, if it did.
        others: medians of the other replicas, ``None`` without any that was scraped.
        other_replicas: how many those are.
    """

    own: EngineNumbers
    age_seconds: float | None = None
    error: str | None = None
    others: EngineNumbers | None = None
    other_replicas: int = 0


def engine_then(states: EngineStates, replica: str, now: float) -> EngineThen | None:
    """What the last scrapes told; ``None`` if none of ``replica`` ever succeeded.

    Args:
        now: on the clock that the scrapes' times are from.
    """
    state = states.replicas.get(replica)
    if state is None or state.last is None:
        return None
    others = [
        _numbers(one)
        for address, one in states.replicas.items()
        if address != replica and one.reading is not None
    ]
    return EngineThen(
        own=_numbers(state),
        age_seconds=None if state.taken_at is None else max(0.0, now - state.taken_at),
        error=state.error,
        others=_medians(others) if others else None,
        other_replicas=len(others),
    )


def _numbers(state: EngineState) -> EngineNumbers:
    values = {} if state.last is None else state.last.values
    counted = {name: values.get(quantity) for name, quantity in _COUNTED.items()}
    return EngineNumbers(
        **counted, accept_length=state.accept_length, accept_rate=state.accept_rate
    )


def _medians(told: Iterable[EngineNumbers]) -> EngineNumbers:
    by_name: dict[str, list[float]] = {}
    for one in told:
        for name in EngineNumbers.__struct_fields__:
            value = getattr(one, name)
            if value is not None:
                by_name.setdefault(name, []).append(value)
    return EngineNumbers(**{name: median(values) for name, values in by_name.items()})
