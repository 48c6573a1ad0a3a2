"""What every test may count on."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked ``gpu`` where there is no GPU; torch is asked only if need be."""
    gpu_items = [item for item in items if item.get_closest_marker("gpu") is not None]
    if not gpu_items or has_gpu():
        return
    config.hook.pytest_deselected(items=gpu_items)
    items[:] = [item for item in items if item not in gpu_items]


def has_gpu() -> bool:
    """Whether torch is there and sees a CUDA device."""
    try:
        import torch  # noqa: PLC0415 (slow, and not needed for most tests)
    except ModuleNotFoundError:
        return False
    return torch.cuda.is_available()
