"""The dashboards are whole: all panels, all texts, queries that parse, metrics that exist."""

import json
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from alerts.rule import Board as AlertBoard
from dashboards.build import BOARDS, FOLDER, files, main, stale
from dashboards.panel import Board, Panel
from monitor.catalog import CATALOG
from tests.dashboards.queries import (
    EMITTED,
    RECORDED,
    filled,
    names_in,
    panel_queries,
    rule_queries,
)

PANELS = [pytest.param(panel, id=panel.title) for board in BOARDS for panel in board.panels]
BUILT: dict[str, dict[str, Any]] = {name: json.loads(text) for name, text in files().items()}


def test_all_24_panels_are_there() -> None:
    assert {panel.number for board in BOARDS for panel in board.panels} == set(range(1, 25))


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_explains_itself(panel: Panel) -> None:
    assert panel.title
    assert panel.description.endswith(".")
    assert panel.unit
    assert panel.queries
    assert list(panel.limits) == sorted(panel.limits)


@pytest.mark.parametrize(("name", "expr"), [*panel_queries(), *rule_queries()])
def test_every_query_parses_and_asks_for_what_there_is(name: str, expr: str) -> None:
    """Types are checked as well: a rate of a gauge's instant vector does not parse."""
    promql_parser.parse(filled(expr))
    assert "$" not in filled(expr), name
    assert names_in(expr) <= EMITTED | RECORDED, name


def test_the_parser_finds_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="expected type"):
        promql_parser.parse("rate(specwatch_memory_bytes)")


def test_every_metric_is_on_a_panel_or_in_a_rule() -> None:
    """Nothing is emitted for nobody."""
    used = {name for _, expr in [*panel_queries(), *rule_queries()] for name in names_in(expr)}
    assert [metric.name for metric in CATALOG if not metric.samples & used] == []


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_boards_share_variables_links_and_annotations(board: Board) -> None:
    """Links keep time and selection; alerts link to boards that exist."""
    built = BUILT[f"{board.uid}.json"]
    names = [one["name"] for one in built["templating"]["list"]]
    assert names == ["datasource", "model", "replica", "kind", "proxy"]
    (link,) = built["links"]
    assert (link["keepTime"], link["includeVars"], link["tags"]) == (True, True, ["specwatch"])
    notes = {one["name"] for one in built["annotations"]["list"]}
    assert {"Quarantine", "Deploys", "Alerts"} <= notes
    assert board.uid in set(AlertBoard)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_panels_lie_side_by_side(board: Board) -> None:
    """None over another, none past the edge; every target has its own letter."""
    taken: set[tuple[int, int]] = set()
    for panel in BUILT[f"{board.uid}.json"]["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        letters = [target["refId"] for target in panel.get("targets", [])]
        assert len(set(letters)) == len(letters)
    shown = [one for one in BUILT[f"{board.uid}.json"]["panels"] if one["type"] != "row"]
    queries = [len(one["targets"]) for one in shown]
    assert queries == [len(panel.queries) for panel in board.panels]


def test_annotations_parse() -> None:
    for built in BUILT.values():
        for note in built["annotations"]["list"]:
            if "expr" in note:
                promql_parser.parse(note["expr"])


def test_states_have_names() -> None:
    """Every code of the catalog is shown as a word."""
    panels = BUILT["specwatch-replica.json"]["panels"]
    timeline = next(one for one in panels if one["type"] == "state-timeline")
    (mapping,) = timeline["fieldConfig"]["defaults"]["mappings"]
    assert mapping["options"]["5"]["text"] == "quarantined"
    assert len(mapping["options"]) == 6


def test_the_files_are_as_built() -> None:
    assert main(["--check"]) == 0


def test_stale_missing_and_left_over_files_are_found(tmp_path: Path) -> None:
    built = files()
    assert stale(built, tmp_path) == sorted(built)
    assert main(["--out", str(tmp_path)]) == 0
    assert main(["--out", str(tmp_path), "--check"]) == 0
    (tmp_path / "old.json").write_text("{}")
    (tmp_path / "specwatch-proxy.json").write_text("{}")
    assert stale(built, tmp_path) == ["old.json", "specwatch-proxy.json"]
    assert main(["--out", str(tmp_path), "--check"]) == 1


def test_provisioning_is_what_grafana_reads() -> None:
    """Version 1, one provider, one data source of the name that the upload makes."""
    folder = FOLDER.parent / "provisioning"
    boards = yaml.safe_load((folder / "dashboards.yaml").read_text())
    (provider,) = boards["providers"]
    assert (boards["apiVersion"], provider["type"]) == (1, "file")
    assert provider["options"]["path"]
    sources = yaml.safe_load((folder / "datasources.yaml").read_text())
    (source,) = sources["datasources"]
    assert (sources["apiVersion"], source["type"]) == (1, "prometheus")
    assert source["name"] == "Prometheus (specwatch)"
    (exemplar,) = source["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplar["name"] == "trace_id"
