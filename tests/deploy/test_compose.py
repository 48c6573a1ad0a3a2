"""The compose file and what it mounts, by the programs that read it and rules of our own.

There is no docker here: what compose itself would say of the file is not tested.
"""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.flags import flag_name
from monitor.options import FLAGS
from tests.alerts.tools import tool

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
KEYS = {
    "build",
    "cap_drop",
    "command",
    "depends_on",
    "environment",
    "extra_hosts",
    "image",
    "ports",
    "read_only",
    "restart",
    "security_opt",
    "stop_grace_period",
    "volumes",
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return content


def test_services_are_what_they_should_be(compose: dict[str, Any]) -> None:
    """Known keys, pinned images, dependencies that exist, ports of this machine alone but one."""
    services = compose["services"]
    assert set(services) == {"specwatch", "redis", "prometheus", "alertmanager", "grafana"}
    for name, service in services.items():
        assert service.keys() <= KEYS, name
        assert re.fullmatch(r"[a-z/]+:v?\d[\w.-]*", service["image"]), name
        assert set(service.get("depends_on", ())) <= set(services), name
        for port in service.get("ports", ()):
            assert name == "specwatch" or port.startswith("127.0.0.1:"), name


def test_mounts_exist(compose: dict[str, Any]) -> None:
    """Files of the project, read only, or volumes that are declared."""
    for service in compose["services"].values():
        for mount in service.get("volumes", ()):
            source, _, rest = mount.partition(":")
            if source.startswith("."):
                assert (FOLDER / source).exists(), source
                assert rest.endswith(":ro"), mount
            else:
                assert source in compose["volumes"], mount


def test_the_proxy_is_started_with_options_that_it_has(compose: dict[str, Any]) -> None:
    command, *flags = compose["services"]["specwatch"]["command"]
    assert command == "serve"
    assert {flag.partition("=")[0] for flag in flags} <= {flag_name(name) for name in FLAGS}
    assert all(
        isinstance(one, str) for one in yaml.safe_load((FOLDER / "replicas.yaml").read_text())
    )


def test_prometheus_reads_its_files(tmp_path: Path) -> None:
    """As they lie in the container, side by side."""
    for source in (FOLDER / "prometheus.yaml", ROOT / "alerts" / "specwatch.rules.yaml"):
        (tmp_path / source.name).write_text(source.read_text())
    command = [tool("promtool"), "check", "config", str(tmp_path / "prometheus.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    assert [one["job_name"] for one in config["scrape_configs"]] == ["specwatch"]


def test_names_within_lead_to_services(compose: dict[str, Any]) -> None:
    """Of targets, of the store, of Grafana's source."""
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    alerting = config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    targets = [*alerting, *config["scrape_configs"][0]["static_configs"][0]["targets"]]
    sources = yaml.safe_load((ROOT / "dashboards/provisioning/datasources.yaml").read_text())
    targets += [one["url"].removeprefix("http://") for one in sources["datasources"]]
    targets += re.findall(r"redis://([^/]+)", " ".join(compose["services"]["specwatch"]["command"]))
    assert len(targets) == 4
    assert {target.partition(":")[0] for target in targets} <= set(compose["services"])


def test_the_image_is_built_from_what_is_there() -> None:
    """Each instruction is one, and what is copied or run is in the project."""
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    lines = re.sub(r"\\\n", " ", text).splitlines()
    known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL"}
    known |= {"ENTRYPOINT", "CMD"}
    words = [line.split()[0] for line in lines if line.strip() and not line.startswith("#")]
    assert set(words) <= known
    assert words[-1] == "CMD"
    assert "USER 10001" in text
    ignored = (ROOT / ".dockerignore").read_text().split()
    needed = ("requirements.lock", "pyproject.toml", "deploy", "README.md", "LICENSE", "monitor")
    assert all((ROOT / name).exists() and name not in ignored for name in needed)
