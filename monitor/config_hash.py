"""Short names for what an instance runs with, so that two instances can be compared."""

import hashlib
from typing import NamedTuple

import msgspec

from monitor.config import MonitorConfig
from retry_proxy.config import ProxyConfig
from retry_proxy.watch import Learned


class ConfigInfo(NamedTuple):
    """Twelve hex digits each, and the panel's name."""

    config: str
    panel: str
    learned: str


def config_info(proxy: ProxyConfig, monitor: MonitorConfig, learned: Learned) -> ConfigInfo:
    """What tells two instances apart.

    Options count, but for keys (their fields are not in a configuration's repr) and for the
    address that it listens on; baselines and weights count by their numbers.
    """
    told = [repr(proxy), *(_told(monitor))]
    numbers = [learned.baselines.to_dict(), learned.weights.to_dict()]
    return ConfigInfo(
        _short("\n".join(told).encode()),
        proxy.panel.value,
        _short(msgspec.json.encode(numbers, order="deterministic")),
    )


def _told(config: MonitorConfig) -> list[str]:
    silent = ("host", "port", "admin_key", "redis")  # a Redis address may hold a password
    names = (name for name in MonitorConfig.__slots__ if name not in silent)
    return [f"{name}={getattr(config, name)!r}" for name in names]


def _short(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:12]
