"""Debian's Prometheus packages: where they are, and what their absence means."""

import os
import shutil
from pathlib import Path

import pytest

IS_CI = os.environ.get("CI") == "true"


def tool(name: str) -> str:
    """The path of a program; without it the test is left out, and fails in CI."""
    found = shutil.which(name)
    if found is not None:
        return found
    message = f"{name} is not installed (Debian: prometheus, prometheus-alertmanager)"
    if IS_CI:
        pytest.fail(message)
    pytest.skip(message)


ROOT = Path(__file__).parents[2]
