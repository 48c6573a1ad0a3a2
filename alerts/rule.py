"""What a rule says, and how Prometheus writes it. Knows no rule."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# What bad output may cost: one request in a thousand over thirty days.
BAD_OUTPUT_OBJECTIVE = 0.001
# Healthy answers that may be stopped: one in a thousand.
FALSE_ALARM_OBJECTIVE = 0.001


class Severity(enum.StrEnum):
    """Who is told."""

    PAGE = "page"  # a person, now
    TICKET = "ticket"  # a person, on a working day
    NONE = "none"  # nobody: it shows that the chain works


class Board(enum.StrEnum):
    """The dashboard that shows most of an alert; values are the dashboards' uids."""

    FLEET = "specwatch-fleet"
    REPLICA = "specwatch-replica"
    PROXY = "specwatch-proxy"


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that several rules or panels need.

    Attributes:
        name: level:metric:operations, as Prometheus' naming of rules has it.
    """

    name: str
    expr: str

    def as_rule(self) -> dict[str, Any]:
        """As it stands in the file."""
        return {"record": self.name, "expr": self.expr}


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert.

    Attributes:
        wait: how long the condition must hold, as Prometheus writes durations.
        summary, description: templates; the description tells the value.
    """

    name: str
    expr: str
    wait: str
    severity: Severity
    board: Board
    summary: str
    description: str

    def as_rule(self, links: "Links") -> dict[str, Any]:
        """As it stands in the file."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.wait,
            "labels": {"severity": self.severity.value},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": links.runbook(self.name),
                "dashboard_url": links.dashboard(self.board),
            },
        }


@dataclass(frozen=True, slots=True)
class Links:
    """Where people find what an alert points at.

    Attributes:
        runbooks: folder or address under which the runbooks lie; named after their alerts.
        grafana: address of Grafana.
    """

    runbooks: str = "alerts/runbooks"
    grafana: str = "http://localhost:3000"

    def runbook(self, alert: str) -> str:
        """Made from the alert's name alone, so that it cannot drift."""
        return f"{self.runbooks.rstrip('/')}/{alert}.md"

    def dashboard(self, board: Board) -> str:
        """Opens with the alert's own replica or model selected, if it has one."""
        selected = "{{ with $labels.replica }}&var-replica={{ . | urlquery }}{{ end }}"
        selected += "{{ with $labels.model }}&var-model={{ . | urlquery }}{{ end }}"
        return f"{self.grafana.rstrip('/')}/d/{board.value}?from=now-3h&to=now{selected}"


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated together."""

    name: str
    rules: Sequence[Alert | Recording]
    interval: str | None = None

    def as_group(self, links: Links) -> dict[str, Any]:
        """As it stands in the file."""
        head = {"name": self.name} | ({"interval": self.interval} if self.interval else {})
        return head | {
            "rules": [
                one.as_rule(links) if isinstance(one, Alert) else one.as_rule()
                for one in self.rules
            ]
        }
