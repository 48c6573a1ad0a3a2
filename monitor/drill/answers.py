"""The shapes of what a drill's targets answer, as far as it reads them."""

from typing import Any

import msgspec


class Info(msgspec.Struct):
    """A replica's ``/server_info``; other engines may say anything there."""

    engine: Any = None


class Damaged(msgspec.Struct):
    """One generation that was damaged."""

    rid: str


class Faults(msgspec.Struct):
    """The backend's ``/faults``."""

    plan: dict[str, Any] | None
    records: list[Damaged]


class Replica(msgspec.Struct):
    """One that the proxy knows."""

    address: str


class Replicas(msgspec.Struct):
    """The proxy's ``/api/replicas``."""

    replicas: list[Replica]


class Story(msgspec.Struct):
    """The proxy's ``/api/requests/ID``; without an outcome while it runs."""

    outcome: str | None = None


class Sample(msgspec.Struct):
    """Of Prometheus: unix time and the value as text."""

    value: tuple[float, str]


class Vector(msgspec.Struct):
    """The result of a query."""

    result: list[Sample]


class QueryAnswer(msgspec.Struct):
    """Prometheus' ``/api/v1/query``."""

    data: Vector


class Labelled(msgspec.Struct):
    """One alert; Alertmanager has no state of this form."""

    labels: dict[str, str]


class RuleAlert(Labelled):
    """One alert of Prometheus."""

    state: str


class RuleAlerts(msgspec.Struct):
    """All that are pending or firing."""

    alerts: list[RuleAlert]


class AlertsAnswer(msgspec.Struct):
    """Prometheus' ``/api/v1/alerts``."""

    data: RuleAlerts
