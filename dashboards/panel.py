"""What a panel and a dashboard show, in our own words. Knows nothing of Grafana's JSON."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

# What Grafana puts in; a selector that is "All" matches everything.
MODEL = 'model=~"$model"'
REPLICA = 'replica=~"$replica"'
KIND = 'kind=~"$kind"'
RANGE = "[$__rate_interval]"


class Look(enum.StrEnum):
    """How a panel is drawn; values are Grafana's names."""

    STAT = "stat"
    GAUGE = "gauge"
    SERIES = "timeseries"
    STACKED = "stacked"
    HEATMAP = "heatmap"
    TABLE = "table"
    STATES = "state-timeline"


@dataclass(frozen=True, slots=True)
class Query:
    """One query.

    Attributes:
        legend: template of a series' name.
        has_exemplars: dots with the trace ids of single requests.
    """

    expr: str
    legend: str = ""
    has_exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """Where a click on a value leads; ``url`` may hold Grafana's variables."""

    title: str
    url: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        number: of the list in the project's requirements, 1 to 24; a number may need two panels.
        unit: by Grafana's id: ``percentunit``, ``s``, ``short`` …
        limits: thresholds, the first one yellow and the second red.
        width: of 24 columns.
    """

    number: int
    title: str
    description: str
    look: Look
    unit: str
    queries: Sequence[Query]
    limits: Sequence[float] = ()
    links: Sequence[Link] = ()
    width: int = 12


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard.

    Attributes:
        uid: part of its address; alerts link to it.
    """

    uid: str
    title: str
    description: str
    rows: Sequence[Row]

    @property
    def panels(self) -> list[Panel]:
        """All of its panels, in order."""
        return [panel for row in self.rows for panel in row.panels]


# Time and selection go along; a replica that is clicked is selected there.
TO_REPLICA = Link(
    "this replica",
    "/d/specwatch-replica?${__url_time_range}&${model:queryparam}&${kind:queryparam}"
    "&var-datasource=${datasource}&var-replica=${__field.labels.replica}",
)
TO_INCIDENTS = Link(
    "its incidents",
    "${proxy}/api/incidents?limit=50&replica=${__field.labels.replica}",
)


def by_instance(name: str) -> str:
    """A counter's rate for each process."""
    return f"sum by (instance) (rate({name}{RANGE}))"


def quantile(share: float, metric: str, by: str, selector: str = "") -> str:
    """A quantile of a histogram."""
    labels = f"{by}, le" if by else "le"
    inside = f"sum by ({labels}) (rate({metric}_bucket{{{selector}}}{RANGE}))"
    return f"histogram_quantile({share:g}, {inside})"
