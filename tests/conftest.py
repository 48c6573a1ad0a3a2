"""What every test may count on."""

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests whose mark asks for what is not there; it is looked for only if need be.

    A run that names such a mark (``-m engines``) keeps them: then they fail for what is missing.
    """
    asked = config.option.markexpr
    for mark, is_there in NEEDS.items():
        marked = [item for item in items if item.get_closest_marker(mark) is not None]
        if not marked or mark in asked or is_there():
            continue
        config.hook.pytest_deselected(items=marked)
        items[:] = [item for item in items if item not in marked]


def has_gpu() -> bool:
    """Whether torch is there and sees a CUDA device."""
    try:
        import torch  # noqa: PLC0415 (slow, and not needed for most tests)
    except ModuleNotFoundError:
        return False
    return torch.cuda.is_available()


def has_clients() -> bool:
    """Whether the extra ``clients`` is installed."""
    return find_spec("litellm") is not None and find_spec("langchain_openai") is not None


def has_ray() -> bool:
    """Whether the extra ``ray`` is installed; the locked environment has it not: it is large."""
    return find_spec("ray") is not None


def has_mooncake() -> bool:
    """Whether Mooncake's transfer engine can be loaded (it needs libibverbs1)."""
    try:
        import mooncake.engine  # type: ignore[import-untyped]  # noqa: F401, PLC0415
    except ImportError:
        return os.environ.get("CI") == "true"  # there its absence must fail
    return True


def has_chromium() -> bool:
    """Whether Debian's Chromium is there."""
    return shutil.which("chromium") is not None or os.environ.get("CI") == "true"


NEEDS: dict[str, Callable[[], bool]] = {
    "gpu": has_gpu,
    "chromium": has_chromium,
    "clients": has_clients,
    "ray": has_ray,
    "mooncake": has_mooncake,
    "engines": lambda: False,  # minutes: `make test-engines`
}
