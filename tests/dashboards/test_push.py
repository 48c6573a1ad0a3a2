"""The upload over HTTP: once, again, and refused in every way; errors are one line and tell why."""

from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from dashboards.push import DATASOURCE_NAME
from monitor.cli import app
from monitor.demo.process import free_port
from tests.dashboards.fake_grafana import TOKEN, Grafana, running

UIDS = {"specwatch-fleet", "specwatch-replica", "specwatch-proxy"}
PROMETHEUS = ("--prometheus", "http://prometheus:9090")


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    with running(Grafana()) as made:
        yield made


def push(address: str, *options: str, token: str | None = TOKEN) -> Result:
    """The command; the token comes through its variable."""
    environment = {} if token is None else {"GRAFANA_TOKEN": token}
    command = ["dashboards", "push", "--grafana", address, *options]
    return CliRunner().invoke(app, command, env=environment)


def test_everything_is_there_afterwards(grafana: Grafana) -> None:
    """Three dashboards in their folder, and the data source; told with their addresses."""
    done = push(grafana.address, *PROMETHEUS)
    assert done.exit_code == 0, done.output
    assert set(grafana.dashboards) == UIDS
    assert list(grafana.folders) == ["specwatch"]
    assert grafana.datasources[DATASOURCE_NAME]["url"] == "http://prometheus:9090"
    assert f"{grafana.address}/d/specwatch-fleet/x" in done.output


def test_again_changes_nothing_but_versions(grafana: Grafana) -> None:
    """No second folder, no second data source; a new address of Prometheus is taken over."""
    assert push(grafana.address, *PROMETHEUS).exit_code == 0
    again = push(grafana.address, "--prometheus", "http://other:9090")
    assert again.exit_code == 0, again.output
    assert {one["version"] for one in grafana.dashboards.values()} == {2}
    assert (len(grafana.folders), len(grafana.datasources)) == (1, 1)
    assert grafana.datasources[DATASOURCE_NAME]["url"] == "http://other:9090"


def test_without_prometheus_no_data_source_is_touched(grafana: Grafana) -> None:
    """An Editor's token does."""
    grafana.role = "Editor"
    assert push(grafana.address).exit_code == 0
    assert not any("datasources" in request for request in grafana.requests)
    refused = push(grafana.address, *PROMETHEUS)
    assert refused.exit_code == 1
    assert "Admin for the data source" in refused.output


@pytest.mark.parametrize("token", ["glsa_wrong", None])
def test_a_bad_token_is_told(grafana: Grafana, token: str | None) -> None:
    """In one line, and without the token."""
    done = push(grafana.address, token=token)
    assert done.exit_code == 1
    assert "refuses the token (status 401)" in done.output
    assert "glsa_wrong" not in done.output
    assert "Traceback" not in done.output
    assert grafana.dashboards == {}


def test_nobody_there_is_told() -> None:
    done = push(f"http://127.0.0.1:{free_port()}")
    assert done.exit_code == 1
    assert "cannot be reached" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize(
    ("status", "told"), [(500, "status 500"), (404, "no Grafana"), (403, "refuses the token")]
)
def test_other_answers_are_told(grafana: Grafana, status: int, told: str) -> None:
    grafana.status = status
    done = push(grafana.address)
    assert done.exit_code == 1
    assert told in done.output
    assert "Traceback" not in done.output
