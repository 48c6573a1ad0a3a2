"""What a running monitor tells of its fleet, read for one look. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from monitor.records import Incident

_COUNTERS = {"specwatch_steps": "steps", "specwatch_accepted_tokens": "accepted"}


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """One replica as ``/api/replicas`` tells it; later versions may tell less."""

    address: str
    state: str | None = None
    engine: str | None = None
    in_flight: int | None = None
    outstanding_tokens: int | None = None
    attempts: int | None = None
    anomalies: int | None = None
    draft_health: str | None = None
    last_error: str | None = None


class EngineRow(msgspec.Struct, frozen=True, kw_only=True):
    """One engine as ``/api/engine-metrics`` tells it."""

    values: dict[str, float] = msgspec.field(default_factory=dict)
    error: str | None = None


class _Replicas(msgspec.Struct):
    replicas: list[Replica]


class _Engines(msgspec.Struct):
    replicas: dict[str, EngineRow]


@dataclass(frozen=True, slots=True)
class Counts:
    """What only grows, of one replica; ``None`` where nothing tells it."""

    attempts: float | None = None
    anomalies: float | None = None
    steps: float | None = None
    accepted: float | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """The fleet at one moment.

    Attributes:
        at: seconds, on the clock of whoever looked.
        engines: of the replicas whose own metrics are read.
        incidents: the newest.
    """

    at: float
    replicas: tuple[Replica, ...]
    engines: Mapping[str, EngineRow] = field(default_factory=dict)
    counts: Mapping[str, Counts] = field(default_factory=dict)
    incidents: tuple[Incident, ...] = ()


def read_replicas(body: bytes) -> tuple[Replica, ...]:
    """What ``/api/replicas`` answers.

    Raises:
        msgspec.MsgspecError: it is something else.
    """
    return tuple(msgspec.json.decode(body, type=_Replicas).replicas)


def read_engines(body: bytes) -> dict[str, EngineRow]:
    """What ``/api/engine-metrics`` answers.

    Raises:
        msgspec.MsgspecError: it is something else.
    """
    return msgspec.json.decode(body, type=_Engines).replicas


def read_counts(exposition: str, replicas: tuple[Replica, ...]) -> dict[str, Counts]:
    """Each replica's counts: of attempts as the fleet tells them, of steps from ``/metrics``.

    Raises:
        ValueError: it is no exposition.
    """
    found: dict[str, dict[str, float]] = {one.address: {} for one in replicas}
    for family in text_string_to_metric_families(exposition):
        name = _COUNTERS.get(family.name)
        if name is None:
            continue
        for sample in family.samples:
            of_replica = found.get(sample.labels.get("replica", ""))
            if of_replica is not None and sample.name.endswith("_total"):
                of_replica[name] = sample.value
    return {
        one.address: Counts(
            attempts=one.attempts,
            anomalies=one.anomalies,
            steps=found[one.address].get("steps"),
            accepted=found[one.address].get("accepted"),
        )
        for one in replicas
    }
