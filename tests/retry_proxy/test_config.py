"""Options: an unknown key or a bad value is an error that names it."""

from typing import Any

import pytest

from retry_proxy.config import EngineName, OnExhausted, ProxyConfig, ReleaseMode
from retry_proxy.errors import InvalidConfig

REPLICAS = ["http://127.0.0.1:30001/"]


def test_plain_values_become_a_configuration() -> None:
    config = ProxyConfig.from_mapping(
        {"replicas": REPLICAS, "release": "buffer", "engine": "sglang", "on_exhausted": "error"}
        | {"min_accept_length": 1.5, "max_attempts": 2}
    )
    assert config.replicas == ("http://127.0.0.1:30001",)
    assert (config.release, config.engine) == (ReleaseMode.BUFFER, EngineName.SGLANG)
    assert config.on_exhausted is OnExhausted.ERROR
    assert config.thresholds.min_accept_length == 1.5


def test_the_published_numbers_are_the_defaults() -> None:
    limits = ProxyConfig(replicas=("http://a",)).thresholds
    assert (limits.min_accept_length, limits.accept_length_after_tokens) == (1.4, 128)
    assert limits.max_accept_rate == 0.96


def test_an_unknown_key_tells_the_nearest() -> None:
    with pytest.raises(InvalidConfig, match="did you mean 'max_attempts'"):
        ProxyConfig.from_mapping({"replicas": REPLICAS, "max_atempts": 3})


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({}, "replica"),
        ({"replicas": []}, "replica"),
        ({"replicas": "http://a"}, "replicas"),
        ({"replicas": ["127.0.0.1:30001"]}, "replica"),
        ({"replicas": ["http://a", "http://a/"]}, "twice"),
        ({"replicas": REPLICAS, "release": "sometimes"}, "release"),
        ({"replicas": REPLICAS, "max_attempts": 0}, "max_attempts"),
        ({"replicas": REPLICAS, "max_attempts": "3"}, "max_attempts"),
        ({"replicas": REPLICAS, "max_attempts": True}, "max_attempts"),
        ({"replicas": REPLICAS, "capture_text": 1}, "capture_text"),
        ({"replicas": REPLICAS, "deadline_seconds": -1}, "deadline_seconds"),
        ({"replicas": REPLICAS, "deadline_seconds": float("nan")}, "deadline_seconds"),
    ],
)
def test_a_bad_value_is_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidConfig, match=named):
        ProxyConfig.from_mapping(options)
