"""The engines of a run: those named in SPECWATCH_ENGINE_NAMES, one after the other."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.running import Engine, running

NAMES = os.environ.get("SPECWATCH_ENGINE_NAMES", "llamacpp vllm").split()


@pytest.fixture(scope="session", params=NAMES)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """A running engine."""
    log: Path = tmp_path_factory.mktemp(request.param) / "engine.log"
    with running(request.param, log) as started:
        yield started
