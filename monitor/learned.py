"""Reads what was learned from traffic, once at start."""

import json
from pathlib import Path

from detectors.fusion.weights import FusionWeights, packaged_weights
from monitor.errors import InvalidOptions, MonitorError
from monitor.offline.baselines import load_baselines
from monitor.options import MonitorConfig
from retry_proxy.watch import Learned


def read_learned(config: MonitorConfig) -> Learned:
    """The files that the options name, else what comes with specwatch.

    Raises:
        InvalidOptions: a file cannot be read or is something else; says which.
    """
    try:
        baselines = load_baselines(None if config.baselines is None else Path(config.baselines))
    except MonitorError as error:
        raise InvalidOptions(f"baselines: {error}") from error
    weights = packaged_weights() if config.fusion is None else read_weights(Path(config.fusion))
    return Learned(baselines, weights)


def read_weights(path: Path) -> FusionWeights:
    """What ``specwatch train`` wrote.

    Raises:
        InvalidOptions: not readable, or something else.
    """
    try:
        return FusionWeights.from_dict(json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InvalidOptions(f"fusion: {path} cannot be read ({error.strerror})") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidOptions(
            f"fusion: {path} is not what `specwatch train --out` writes ({error})"
        ) from error
