"""What every test may count on."""

import importlib.util

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests whose mark names what is not here; that is looked for only if need be."""
    for mark, is_here in {"gpu": has_gpu, "ray": has_ray}.items():
        marked = [item for item in items if item.get_closest_marker(mark) is not None]
        if marked and not is_here():
            config.hook.pytest_deselected(items=marked)
            items[:] = [item for item in items if item not in marked]


def has_ray() -> bool:
    """Whether the extra ``ray`` is installed; the locked environment has it not: it is large."""
    return importlib.util.find_spec("ray") is not None


def has_gpu() -> bool:
    """Whether torch is there and sees a CUDA device."""
    try:
        import torch  # noqa: PLC0415 (slow, and not needed for most tests)
    except ModuleNotFoundError:
        return False
    return torch.cuda.is_available()
