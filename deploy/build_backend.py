"""Builds specwatch: setuptools' own backend, and on demand with the hot modules compiled.

``SPECWATCH_COMPILE=1 pip wheel .`` (or ``make compiled``) has mypyc translate the modules below as
they stand. Plain Python stays the reference and what everybody gets without asking.
"""

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import setuptools
from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401  # the rest of the backend
    build_editable,
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

SWITCH = "SPECWATCH_COMPILE"
COMPILER = "mypy[mypyc]>=1.14"

# What runs for every event of every stream, and what it is made of.
HOT = (
    "detectors/*.py",
    "detectors/acceptance/*.py",
    "detectors/fusion/*.py",
    "detectors/repetition/*.py",
    "detectors/text/*.py",
    "retry_proxy/engines/acceptance_track.py",
    "retry_proxy/engines/adapter.py",
    "retry_proxy/engines/openai_chunk.py",
    "retry_proxy/engines/openai_reader.py",
    "retry_proxy/engines/token_count.py",
    "retry_proxy/stream/answer.py",
    "retry_proxy/stream/attempt.py",
    "retry_proxy/stream/choice_panels.py",
    "retry_proxy/stream/client.py",
    "retry_proxy/stream/connection.py",
    "retry_proxy/stream/ending.py",
    "retry_proxy/stream/exchange.py",
    "retry_proxy/stream/holdback.py",
    "retry_proxy/stream/kept_text.py",
    "retry_proxy/stream/openai_encoder.py",
    "retry_proxy/stream/plain.py",
    "retry_proxy/stream/plain_lane.py",
    "retry_proxy/stream/sse.py",
    "retry_proxy/stream/step_track.py",
    "retry_proxy/stream/text_tail.py",
    "retry_proxy/stream/writer.py",
)


def hot_modules(root: Path = Path()) -> list[str]:
    """Paths of the modules that are compiled."""
    found = (path for pattern in HOT for path in sorted(root.glob(pattern)))
    return [str(path) for path in found if path.name != "__init__.py"]


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """The compiler too, where it is asked for."""
    needed: list[str] = build_meta.get_requires_for_build_wheel(config_settings)
    return [*needed, COMPILER] if _is_asked_for() else needed


def build_wheel(
    wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None
) -> str:
    """A wheel for every platform, or for this one with the hot modules compiled."""
    with _compiling() if _is_asked_for() else _as_it_is():
        name: str = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    return name


def _is_asked_for() -> bool:
    return os.environ.get(SWITCH) == "1"


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


@contextmanager
def _compiling() -> Iterator[None]:
    """Adds the extension modules: without a setup.py setuptools calls plain ``setup()``."""
    from mypyc.build import mypycify  # noqa: PLC0415  # only where it is asked for

    plain = setuptools.setup
    modules = mypycify(hot_modules(), opt_level="3", strip_asserts=False)
    setuptools.setup = functools.partial(plain, ext_modules=modules)
    try:
        yield
    finally:
        setuptools.setup = plain
