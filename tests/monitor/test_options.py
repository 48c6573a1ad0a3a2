"""Four places for an option, and clear errors in each."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from monitor.config import MonitorConfig
from monitor.errors import InvalidOptions
from monitor.options import FIELDS, FLAGS, build_configs, merge, read_file
from retry_proxy.config import EngineName, ProxyConfig, ReleaseMode

REPLICAS = ["http://127.0.0.1:30001"]


def test_every_field_of_both_configurations_has_a_flag() -> None:
    """A new option cannot be forgotten on the command line."""
    assert set(FLAGS) == set(FIELDS)


def test_the_two_configurations_share_no_name() -> None:
    """One name means one thing in the file."""
    proxy = {field.name for field in dataclasses.fields(ProxyConfig)}
    assert not proxy & {field.name for field in dataclasses.fields(MonitorConfig)}


def test_defaults() -> None:
    """Only the replicas must be given."""
    proxy, monitor = build_configs({"replicas": REPLICAS})
    assert proxy == ProxyConfig(replicas=("http://127.0.0.1:30001",))
    assert monitor == MonitorConfig()


def test_what_is_given_wins_over_the_file() -> None:
    """``None`` means: was not given."""
    merged = merge({"port": 1, "redis": None}, {"port": 2, "redis": "redis://a", "host": "b"})
    assert merged == {"port": 1, "redis": "redis://a", "host": "b"}


def test_a_file(tmp_path: Path) -> None:
    """Keys are the flags' names."""
    path = tmp_path / "specwatch.yaml"
    path.write_text("replicas: [http://a:1, http://b:2]\nrelease: live\nengine: vllm\nport: 9\n")
    proxy, monitor = build_configs(read_file(path))
    assert proxy.replicas == ("http://a:1", "http://b:2")
    assert (proxy.release, proxy.engine) == (ReleaseMode.LIVE, EngineName.VLLM)
    assert monitor.port == 9


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    """Every option keeps its default."""
    path = tmp_path / "empty.yaml"
    path.write_text("# nothing\n")
    assert read_file(path) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_attempt: 2", "unknown option 'max_attempt'; did you mean 'max_attempts'?"),
        ("frobnicate: 2", "unknown option 'frobnicate'"),
        ("3: 2", "unknown option 3"),
        ("- a", "must hold option: value lines"),
        ("a: [", "cannot read"),
    ],
)
def test_a_bad_file(tmp_path: Path, text: str, message: str) -> None:
    """The error names the file and the nearest name."""
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(InvalidOptions, match=r"bad\.yaml") as caught:
        read_file(path)
    assert message in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    """Named in the error."""
    with pytest.raises(InvalidOptions, match=r"no\.yaml"):
        read_file(tmp_path / "no.yaml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "at least one replica"),
        ({"replicas": ["ftp://a"]}, "replica"),
        ({"replicas": REPLICAS, "max_attempts": "many"}, "max_attempts"),
        ({"replicas": REPLICAS, "max_attempts": 0}, "max_attempts"),
        ({"replicas": REPLICAS, "engine": "tgi"}, "engine"),
        ({"replicas": REPLICAS, "port": "http"}, "port must be a whole number"),
        ({"replicas": REPLICAS, "port": True}, "port must be a whole number"),
        ({"replicas": REPLICAS, "port": 65536}, "port must be between"),
        ({"replicas": REPLICAS, "redis": 5}, "redis must be text"),
        ({"replicas": REPLICAS, "log_level": "loud"}, "log_level must be debug"),
        ({"replicas": REPLICAS, "keep_incidents": 0}, "keep_incidents must be at least 1"),
        ({"replicas": REPLICAS, "judge": "yes"}, "judge must be true or false"),
        ({"replicas": REPLICAS, "judge_sample_rate": 1.5}, "judge_sample_rate must be between"),
        ({"replicas": REPLICAS, "judge_sample_rate": "all"}, "judge_sample_rate must be a number"),
        ({"replicas": REPLICAS, "judge_sample_rate": True}, "judge_sample_rate must be a number"),
        ({"replicas": REPLICAS, "judge_per_minute": 0}, "judge_per_minute must be at least 1"),
        ({"replicas": REPLICAS, "shutdown_grace_seconds": -1}, "shutdown_grace_seconds"),
        ({"replicas": REPLICAS, "lame_duck_seconds": -1}, "lame_duck_seconds"),
        ({"replicas": REPLICAS, "api_keys": "keys.txt"}, "api_keys needs an admin_key"),
        ({"replicas": REPLICAS, "engine_api_key": "a b"}, "got 'something else'"),
        ({"replicas": REPLICAS, "engine_api_key": ""}, "engine_api_key must be visible"),
    ],
)
def test_bad_values(values: dict[str, Any], message: str) -> None:
    """The error names the option."""
    with pytest.raises(InvalidOptions, match=message):
        build_configs(values)
