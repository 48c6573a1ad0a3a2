"""Every alert fires when it should and only then, by promtool; its texts and links are whole."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from alerts.build import ALERTMANAGER, ALERTS, FOLDER, GROUPS, RULES, files, main, stale
from alerts.routing import INHIBITIONS
from alerts.rule import Alert, Board, Links, Severity
from tests.alerts.case import Case
from tests.alerts.cases import CASES
from tests.alerts.tools import tool

HEADINGS = ("Meaning", "Impact", "Diagnosis", "Mitigation")
RUNBOOKS = FOLDER / "runbooks"


def promtool_test(case: Case) -> dict[str, object]:
    """One case as promtool reads it."""
    firing = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}}) or vector(0)'
    return {
        "name": f"{case.alert}: {case.why}",
        "interval": case.interval,
        "input_series": [{"series": name, "values": v} for name, v in case.series.items()],
        "promql_expr_test": [
            {
                "expr": firing,
                "eval_time": case.at,
                "exp_samples": [{"labels": "{}", "value": case.fires}],
            }
        ],
    }


@pytest.mark.parametrize("interval", sorted({case.interval for case in CASES}))
def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path, interval: str) -> None:
    """All cases in one run of promtool; what it says names the case."""
    chosen = [promtool_test(case) for case in CASES if case.interval == interval]
    content = {
        "rule_files": [str(FOLDER / RULES)],
        "evaluation_interval": interval,
        "tests": chosen,
    }
    path = tmp_path / "cases.yaml"
    path.write_text(yaml.safe_dump(content))
    done = subprocess.run(
        [tool("promtool"), "test", "rules", str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_case_that_is_wrong_fails(tmp_path: Path) -> None:
    """The check itself can fail: the opposite of a true case."""
    true = next(case for case in CASES if case.alert == "NoHealthyReplica" and case.fires)
    lie = Case(true.alert, true.at, true.series, 0, "a lie")
    content = {"rule_files": [str(FOLDER / RULES)], "tests": [promtool_test(lie)]}
    path = tmp_path / "lie.yaml"
    path.write_text(yaml.safe_dump({**content, "evaluation_interval": "1m"}))
    command = [tool("promtool"), "test", "rules", str(path)]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode != 0


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_has_a_case_that_fires_and_one_that_must_not(alert: Alert) -> None:
    counts = {case.fires > 0 for case in CASES if case.alert == alert.name}
    expected = {True} if alert.name == "Watchdog" else {True, False}
    assert counts == expected  # the watchdog fires always: that is its point


def test_no_case_is_of_an_alert_that_is_gone() -> None:
    assert {case.alert for case in CASES} == {alert.name for alert in ALERTS}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_tells_its_value_and_where_to_look(alert: Alert) -> None:
    rule = alert.as_rule(Links())
    notes = rule["annotations"]
    assert "$value" in notes["description"]
    assert notes["summary"]
    assert not notes["summary"].endswith(".")
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    assert notes["runbook_url"].endswith(f"/{alert.name}.md")
    assert f"/d/{alert.board.value}?" in notes["dashboard_url"]
    if alert.severity is Severity.PAGE and "rate(" in alert.expr + alert.name:
        assert re.search(r"> \d+", alert.expr), "a page on a ratio needs a minimum of traffic"


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_runbook_is_there_and_says_all_four_things(alert: Alert) -> None:
    text = (RUNBOOKS / f"{alert.name}.md").read_text()
    assert text.startswith(f"# {alert.name}\n")
    assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == HEADINGS
    diagnosis = text.split("## Diagnosis")[1].split("## Mitigation")[0]
    assert "```" in diagnosis, "exact commands or queries"


def test_no_runbook_is_of_an_alert_that_is_gone() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {alert.name for alert in ALERTS}


def test_the_files_are_as_built() -> None:
    assert main(["--check"]) == 0


def test_a_stale_file_is_found(tmp_path: Path) -> None:
    """A missing one too."""
    built = files(Links(), "http://receiver")
    assert stale(built, tmp_path) == [RULES, ALERTMANAGER]
    assert main(["--out", str(tmp_path)]) == 0
    assert main(["--out", str(tmp_path), "--check"]) == 0
    (tmp_path / RULES).write_text("groups: []\n")
    assert main(["--out", str(tmp_path), "--check"]) == 1


def test_links_follow_the_options() -> None:
    links = Links(runbooks="https://wiki/specwatch/", grafana="https://graphs/")
    assert links.runbook("RedisDown") == "https://wiki/specwatch/RedisDown.md"
    assert links.dashboard(Board.PROXY).startswith("https://graphs/d/specwatch-proxy?")


def test_the_rules_pass_lint() -> None:
    command = [tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal"]
    done = subprocess.run(
        [*command, str(FOLDER / RULES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_alertmanager_takes_its_configuration() -> None:
    command = [tool("amtool"), "check-config", str(FOLDER / ALERTMANAGER)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_every_alert_reaches_the_receiver_of_its_severity(alert: Alert) -> None:
    """By Alertmanager's own routing."""
    command = [tool("amtool"), "config", "routes", "test"]
    command += [f"--config.file={FOLDER / ALERTMANAGER}"]
    labels = [f"alertname={alert.name}", f"severity={alert.severity.value}"]
    done = subprocess.run([*command, *labels], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == alert.severity.value


def test_inhibitions_name_alerts_that_exist() -> None:
    names = {alert.name for alert in ALERTS}
    for source, targets, _ in INHIBITIONS:
        assert {source, *targets} <= names
        assert source not in targets


def test_names_are_unique_in_all_groups() -> None:
    rules = [rule.name for group in GROUPS for rule in group.rules]
    assert len(set(rules)) == len(rules)
