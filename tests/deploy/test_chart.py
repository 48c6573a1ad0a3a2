"""The chart, rendered by Helm's own code (as a library; no cluster)."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import helm_python as helm
import pytest
import yaml

from monitor.options import build_configs
from tests.alerts.tools import tool

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "specwatch"
REPLICAS = {"config": {"replicas": ["http://a:30000"]}}
SECRET = {"adminKeySecret": "keys"}


def rendered(*values: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """All objects by kind and name."""
    merged = {key: value for one in values for key, value in one.items()}
    with helm.Chart.load(str(CHART)) as chart:
        files = chart.render(merged, name="demo", namespace="prod")
    objects = [one for text in files.values() for one in yaml.safe_load_all(text) if one]
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def one_of(objects: dict[tuple[str, str], dict[str, Any]], kind: str) -> dict[str, Any]:
    """The only one of its kind."""
    (found,) = [value for (name, _), value in objects.items() if name == kind]
    return found


def test_copies_are_as_their_sources() -> None:
    command = [sys.executable, str(ROOT / "deploy" / "build_chart.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_helm_finds_no_fault() -> None:
    report = helm.lint(str(CHART), values=REPLICAS, strict=True)
    assert report["errors"] == []
    assert [one for one in report["messages"] if one["severity"] >= 2] == []


def test_everything_is_there() -> None:
    kinds = sorted(kind for kind, _ in rendered(REPLICAS))
    assert kinds == [
        "ConfigMap",
        "ConfigMap",
        "ConfigMap",
        "ConfigMap",
        "Deployment",
        "PodDisruptionBudget",
        "PrometheusRule",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
    ]


def test_without_replicas_it_says_what_to_give() -> None:
    with pytest.raises(helm.HelmError, match=r"config\.replicas"):
        rendered({})


def test_the_configuration_is_one_that_serve_takes() -> None:
    """With what a user adds; the address and the drain are the chart's to say."""
    more = {"redis": "redis://r:6379/0", "port": 1, "max_attempts": 2}
    objects = rendered({"config": {**REPLICAS["config"], **more}, "lameDuckSeconds": 7})
    told = yaml.safe_load(objects["ConfigMap", "demo-specwatch"]["data"]["specwatch.yaml"])
    proxy, monitor = build_configs({**told, "replicas": tuple(told["replicas"])})
    assert proxy.max_attempts == 2
    assert (monitor.host, monitor.port, monitor.lame_duck_seconds) == ("0.0.0.0", 30000, 7)
    pod = one_of(objects, "Deployment")["spec"]["template"]["spec"]
    grace = monitor.lame_duck_seconds + monitor.shutdown_grace_seconds
    assert pod["terminationGracePeriodSeconds"] > grace


def test_selectors_find_the_pods() -> None:
    objects = rendered(REPLICAS, {"networkPolicy": {"enabled": True, "from": []}})
    pod = one_of(objects, "Deployment")["spec"]["template"]
    labels = pod["metadata"]["labels"].items()
    selectors = [
        one_of(objects, "Deployment")["spec"]["selector"]["matchLabels"],
        one_of(objects, "Service")["spec"]["selector"],
        one_of(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one_of(objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ]
    assert all(one.items() <= labels for one in selectors)
    (container,) = pod["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in one_of(objects, "Service")["spec"]["ports"]} <= ports
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_the_job_is_the_one_that_the_rules_ask_for() -> None:
    objects = rendered(REPLICAS, SECRET)
    monitor = one_of(objects, "ServiceMonitor")["spec"]
    service = one_of(objects, "Service")
    assert service["metadata"]["labels"][monitor["jobLabel"]] == "specwatch"
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    assert endpoint["authorization"]["credentials"] == {"name": "keys", "key": "admin-key"}
    (container,) = one_of(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["env"][0]["name"] == "SPECWATCH_ADMIN_KEY"


def test_rules_come_through_as_they_are(tmp_path: Path) -> None:
    """Their own templates are not Helm's; promtool reads what comes out."""
    rule = one_of(rendered(REPLICAS), "PrometheusRule")
    source = yaml.safe_load((ROOT / "alerts" / "specwatch.rules.yaml").read_text())
    assert rule["spec"] == source
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rule["spec"]))
    command = [tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_dashboards_come_through_as_they_are() -> None:
    objects = rendered(REPLICAS)
    for path in (ROOT / "dashboards" / "json").glob("*.json"):
        board = objects["ConfigMap", f"demo-specwatch-{path.stem}"]
        assert board["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert board["data"][path.name].strip() == path.read_text().strip()


def test_a_role_comes_with_endpoints_to_watch_and_not_else() -> None:
    wanted = {"config": {"replicas_kubernetes": "inference/sglang:30000"}}
    role = one_of(rendered(wanted), "Role")
    assert role["metadata"]["namespace"] == "inference"
    (rule,) = role["rules"]
    assert (rule["resources"], rule["verbs"]) == (["endpointslices"], ["list", "watch"])
    assert "Role" not in {kind for kind, _ in rendered(REPLICAS)}
