"""Reads what was learned from traffic, once at start."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from monitor.config import MonitorConfig
from monitor.errors import InvalidOptions, MonitorError
from monitor.offline.baselines import load_baselines
from monitor.offline.weights import load_weights
from retry_proxy.watch import Learned

Found = TypeVar("Found")


def read_learned(config: MonitorConfig) -> Learned:
    """The files that the options name, else what comes with specwatch.

    Raises:
        InvalidOptions: a file cannot be read or is something else; says which.
    """
    return Learned(
        _told("baselines", load_baselines, config.baselines),
        _told("fusion", load_weights, config.fusion),
    )


def _told(option: str, load: Callable[[Path | None], Found], name: str | None) -> Found:
    try:
        return load(None if name is None else Path(name))
    except MonitorError as error:
        raise InvalidOptions(f"{option}: {error}") from error
