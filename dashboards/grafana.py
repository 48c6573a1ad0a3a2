"""Our boards as Grafana's JSON, by its foundation SDK."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

from grafana_foundation_sdk.builders import (
    common as common_builder,
)
from grafana_foundation_sdk.builders import (
    dashboard,
    gauge,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboards.panel import Board, Look, Panel, Query
from monitor.catalog.fleet import STATE_CODES

_DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
_STATE_COLORS = ("green", "yellow", "blue", "orange", "orange", "red")
TAG = "specwatch"

# Name, label, where its values come from. All are chosen at first.
_VARIABLES = (
    ("model", "Model", "label_values(specwatch_requests_total, model)"),
    ("replica", "Replica", "label_values(specwatch_replica_state, replica)"),
    ("kind", "Kind", "label_values(specwatch_detections_total, kind)"),
)


class PanelBuilder(Protocol):
    """What the builders of all kinds of panels share."""

    def title(self, title: str) -> Self: ...
    def description(self, description: str) -> Self: ...
    def datasource(self, datasource: common.DataSourceRef) -> Self: ...
    def height(self, h: int) -> Self: ...
    def span(self, w: int) -> Self: ...
    def unit(self, unit: str) -> Self: ...
    def with_target(self, target: Any) -> Self: ...
    def thresholds(self, thresholds: Any) -> Self: ...
    def data_links(self, links: Any) -> Self: ...
    def build(self) -> model.Panel: ...


def _stacked() -> timeseries.Panel:
    stacking = common_builder.StackingConfig().mode(common.StackingMode.NORMAL)
    return timeseries.Panel().stacking(stacking).fill_opacity(30)


def _states() -> statetimeline.Panel:
    mapping = {
        str(code): model.ValueMappingResult(text=state.value, color=color, index=code)
        for (state, code), color in zip(STATE_CODES.items(), _STATE_COLORS, strict=True)
    }
    return statetimeline.Panel().mappings([model.ValueMap(mapping)])


_LOOKS: Mapping[Look, Callable[[], PanelBuilder]] = {
    Look.STAT: stat.Panel,
    Look.GAUGE: gauge.Panel,
    Look.SERIES: timeseries.Panel,
    Look.STACKED: _stacked,
    Look.HEATMAP: heatmap.Panel,
    Look.TABLE: table.Panel,
    Look.STATES: _states,
}


def as_json(board: Board) -> str:
    """The dashboard as it is uploaded and checked in."""
    return JSONEncoder(sort_keys=True, indent=2).encode(_dashboard(board).build()) + "\n"


def _dashboard(board: Board) -> dashboard.Dashboard:
    built = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.description)
        .tags([TAG])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
    )
    for variable in _variables():
        built.with_variable(variable)
    for annotation in _annotations():
        built.annotation(annotation)
    built.link(
        dashboard.DashboardLink("specwatch")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
    )
    for row in board.rows:
        built.with_row(dashboard.Row(row.title))
        for panel in row.panels:
            built.with_panel(_Ready(_panel(panel)))
    return built


class _Ready(Builder[model.Panel]):
    """A panel that is built already, where the SDK wants a builder."""

    def __init__(self, panel: PanelBuilder) -> None:
        self._panel = panel

    def build(self) -> model.Panel:
        """The panel."""
        return self._panel.build()


def _panel(panel: Panel) -> PanelBuilder:
    height = 6 if panel.look in (Look.STAT, Look.GAUGE) else 8
    built = _LOOKS[panel.look]()
    built.title(panel.title).description(panel.description).datasource(_DATASOURCE)
    built.height(height).span(panel.width).unit(panel.unit)
    for ref_id, query in zip("ABCDEFGHIJ", panel.queries, strict=False):
        built.with_target(_target(ref_id, query, panel.look))
    if panel.limits:
        built.thresholds(_thresholds(panel))
    if panel.links:
        built.data_links([dashboard.DashboardLink(one.title).url(one.url) for one in panel.links])
    return built


def _target(ref_id: str, query: Query, look: Look) -> prometheus.Dataquery:
    target = prometheus.Dataquery().ref_id(ref_id).expr(query.expr).datasource(_DATASOURCE)
    if query.legend:
        target.legend_format(query.legend)
    if query.has_exemplars:
        target.exemplar(True)
    if look is Look.TABLE:
        return target.instant().format(PromQueryFormat.TABLE)
    if look is Look.HEATMAP:
        return target.range().format(PromQueryFormat.HEATMAP)
    return target.range()


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    steps = [model.Threshold(None, "green")]
    steps += [
        model.Threshold(limit, color)
        for limit, color in zip(panel.limits, ("yellow", "red"), strict=False)
    ]
    return dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(steps)


def _variables() -> list[Builder[model.VariableModel]]:
    chosen: list[Builder[model.VariableModel]] = [
        dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    ]
    for name, label, query in _VARIABLES:
        chosen.append(
            dashboard.QueryVariable(name)
            .label(label)
            .query(query)
            .datasource(_DATASOURCE)
            .multi(True)
            .include_all(True)
            .all_value(".*")
            .current(model.VariableOption(selected=True, text="All", value="$__all"))
            .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        )
    link_to = dashboard.TextBoxVariable("proxy").label("Proxy (for links)")
    return [*chosen, link_to.default_value("http://localhost:30000")]


def _runs(offset: str) -> str:
    """One series for each version and set of options that runs."""
    return (
        f"count by (version, config) (specwatch_config_info{offset} "
        f"* on (instance) group_left (version) specwatch_build_info{offset})"
    )


def _annotations() -> list[dashboard.AnnotationQuery]:
    told = (
        (
            "Quarantine",
            "red",
            "changes(specwatch_replica_state[1m]) > 0 and specwatch_replica_state == 5",
            "{{replica}} quarantined",
        ),
        (
            "Deploys",
            "blue",
            f"{_runs('')} unless {_runs(' offset 2m')}",
            "now {{version}}, options {{config}}",
        ),
        (
            "Alerts",
            "orange",
            'ALERTS{alertname!="Watchdog",alertstate="firing",severity="page"}',
            "{{alertname}}",
        ),
    )
    return [
        dashboard.AnnotationQuery()
        .name(name)
        .datasource(_DATASOURCE)
        .enable(True)
        .icon_color(color)
        .expr(expr)
        .title_format(title)
        for name, color, expr, title in told
    ]
