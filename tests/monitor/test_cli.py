"""The command line: help that teaches, options from everywhere, one-line errors."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from monitor.cli import app
from monitor.flags import environment_name, flag_name, with_option_flags
from monitor.options import FLAGS, build_configs
from monitor.version import VERSION

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})


@pytest.mark.parametrize("command", ["serve", "demo", "backend", "version"])
def test_each_command_has_a_help(command: str) -> None:
    """Also the engine's own, which needs no torch to be read."""
    result = runner.invoke(app, [command, "--help"])
    assert result.exit_code == 0


def test_without_a_command_the_help_is_shown() -> None:
    """And says where to begin."""
    result = runner.invoke(app, [])
    assert "specwatch demo" in result.output


def test_help_names_flag_environment_and_default() -> None:
    """Everything that can be set, and how."""
    output = runner.invoke(app, ["serve", "--help"]).output
    for name in FLAGS:
        assert flag_name(name) in output
    assert "SPECWATCH_MAX_ATTEMPTS" in output
    assert "specwatch serve --replica" in output


def test_examples_stand_on_lines_of_their_own() -> None:
    """Examples right after the first line were run together: two commands in one line, to paste."""
    for command in app.registered_commands:
        lines = (command.help or "").splitlines()
        examples = [line.strip() for line in lines if line.startswith("    ")]
        shown = runner.invoke(app, [command.name or "", "--help"]).output.splitlines()
        told = [line.strip() for line in shown]
        assert [one for one in examples if one not in told] == [], command.name


def test_version() -> None:
    """Of specwatch itself."""
    assert VERSION in runner.invoke(app, ["version"]).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["serve"], "at least one replica is needed"),
        (["serve", "--replica", "nonsense"], "replica must be"),
        (["serve", "--replica", "http://a", "--config", "/no/such.yaml"], "cannot read"),
    ],
)
def test_wrong_use_ends_with_status_2_and_one_line(arguments: list[str], message: str) -> None:
    """No traceback."""
    result = runner.invoke(app, arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "arguments", [["--engine", "tgi"], ["--port", "x"], ["--max-attempt", "1"]]
)
def test_wrong_flags_are_refused(arguments: list[str]) -> None:
    """By typer, with the allowed values or the nearest name."""
    assert runner.invoke(app, ["serve", "--replica", "http://a", *arguments]).exit_code == 2


@pytest.fixture
def parsed() -> tuple[dict[str, Any], Callable[..., int]]:
    """A command with every option, and what it was given."""
    given: dict[str, Any] = {}

    def take(**options: Any) -> None:
        given.update({name: value for name, value in options.items() if value is not None})

    small = typer.Typer()
    small.command()(with_option_flags(take))

    def invoke(*arguments: str, env: dict[str, str] | None = None) -> int:
        return runner.invoke(small, list(arguments), env=env).exit_code

    return given, invoke


def test_only_what_was_given_is_set(parsed: tuple[dict[str, Any], Callable[..., int]]) -> None:
    """So that the file can say the rest."""
    given, invoke = parsed
    assert invoke("--replica", "http://a:1", "--replica", "http://b:2", "--capture-text") == 0
    assert given == {"replicas": ["http://a:1", "http://b:2"], "capture_text": True}
    assert build_configs(given)[0].capture_text


def test_flags_win_over_the_environment(
    parsed: tuple[dict[str, Any], Callable[..., int]],
) -> None:
    """Every option has a variable."""
    given, invoke = parsed
    env = {
        environment_name("replicas"): "http://a:1 http://b:2",
        environment_name("max_attempts"): "5",
        environment_name("release"): "buffer",
    }
    assert invoke("--max-attempts", "4", env=env) == 0
    assert given == {
        "replicas": ["http://a:1", "http://b:2"],
        "max_attempts": 4,
        "release": "buffer",
    }


def test_a_bad_key_in_the_file_names_the_nearest(tmp_path: Path) -> None:
    """On the command line as well."""
    path = tmp_path / "c.yaml"
    path.write_text("min_accept_lenght: 1.3\n")
    result = runner.invoke(app, ["serve", "--config", str(path)])
    assert result.exit_code == 2
    assert "min_accept_length" in result.output
