"""Real Prometheus, Alertmanager and Redis around the real proxy, during an injected incident."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from monitor.catalog import CATALOG
from tests.alerts.tools import tool
from tests.dashboards.queries import RECORDED, filled, panel_queries
from tests.live.incident import DRILL, Live, incident

# Only told once something goes wrong that this incident has not.
QUIET = {
    "specwatch_store_unreadable_total",
    "specwatch_events_dropped_total",
    "specwatch_detector_errors_total",
    "specwatch_hedges_total",
    "specwatch_record_dropped_total",
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with incident(tmp_path_factory.mktemp("live")) as made:
        yield made


def test_the_alert_reaches_the_pager_in_time(live: Live) -> None:
    """With the sick replica's address, the value in words, and links."""
    alert = live.alert.alert
    assert live.alert.path == "/page"
    assert alert["labels"]["replica"] == live.sick
    assert "% of the attempts on" in alert["annotations"]["description"]
    assert alert["annotations"]["runbook_url"].endswith(f"/{DRILL}.md")
    assert "var-replica=http%3A%2F%2F" in alert["annotations"]["dashboard_url"]
    assert live.watchdog.path == "/watchdog"
    print(f"from the first damaged answer to the webhook: {live.seconds:.1f} s")
    assert live.seconds < 60


def test_every_panel_query_has_a_series(live: Live) -> None:
    """All of the 24 panels, none left out."""
    empty = [name for name, expr in panel_queries() if not live.query_range(filled(expr))]
    assert empty == []


def test_every_metric_of_the_catalog_is_emitted_and_no_other(live: Live) -> None:
    names = httpx.get(f"{live.prometheus}/api/v1/label/__name__/values").json()["data"]
    ours = {name for name in names if "specwatch_" in name} - RECORDED
    emitted = {sample for metric in CATALOG for sample in metric.samples}
    families = {name.removesuffix("_created") for name in ours}
    assert families <= emitted
    silent = {metric.name for metric in CATALOG if not metric.samples & ours}
    assert silent <= QUIET


def test_every_recording_rule_has_a_series(live: Live) -> None:
    """The one over a day too: it takes what there is."""
    assert [name for name in RECORDED if not live.query(name)] == []


def test_no_rule_fails(live: Live) -> None:
    """Prometheus evaluates each without an error, many-to-many matches among them."""
    groups = httpx.get(f"{live.prometheus}/api/v1/rules").json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 30
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule.get("lastError")] == []


def test_exemplars_lead_from_a_panel_to_a_request(live: Live) -> None:
    """The trace id that Prometheus kept is a request that the proxy knows."""
    ask = {"query": "specwatch_detection_tokens_bucket", "start": "0", "end": "99999999999"}
    found = httpx.get(f"{live.prometheus}/api/v1/query_exemplars", params=ask).json()["data"]
    trace = found[0]["exemplars"][0]["labels"]["trace_id"]
    story = httpx.get(f"{live.proxy}/api/requests/{trace}").json()
    assert story["request_id"] == trace
    assert any(attempt["verdict"] for attempt in story["attempts"])


def test_series_are_as_few_as_they_should_be(live: Live) -> None:
    (result,) = live.query('count({__name__=~"specwatch_.+"})')
    assert 200 < int(result["value"][1]) < 2000


def test_the_engines_tell_themselves(live: Live) -> None:
    """Both kinds, with nothing missing; the dead one tells nothing, and why."""
    rows = httpx.get(f"{live.proxy}/api/engine-metrics").json()["replicas"]
    assert {row["engine"] for row in rows.values()} == {"sglang", "vllm"}
    assert all(row["missing"] == [] for row in rows.values())
    assert [address for address, row in rows.items() if row["error"]] == [live.dead]


def test_the_page_passes_promtool(live: Live, tmp_path: Path) -> None:
    """Names, help texts and types as Prometheus wants them."""
    page = tmp_path / "metrics"
    page.write_text(httpx.get(f"{live.proxy}/metrics").text)
    with page.open() as content:
        done = subprocess.run(
            [tool("promtool"), "check", "metrics"],
            stdin=content,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
