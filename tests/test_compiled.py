"""Plain Python is the reference; ``make test-compiled`` runs the same tests compiled."""

import importlib
import importlib.util
import os
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parent.parent


def build_backend() -> ModuleType:
    spec = importlib.util.spec_from_file_location("backend", ROOT / "deploy/build_backend.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_hot_modules_are_those_that_this_run_is_about() -> None:
    """Else the compiled run would test plain Python, or the other way round."""
    backend = build_backend()
    names = backend.hot_modules(ROOT)
    assert len(names) > 40
    wanted = tuple(EXTENSION_SUFFIXES) if os.environ.get(backend.SWITCH) == "1" else (".py",)
    for name in names:
        module = importlib.import_module(
            str(Path(name).relative_to(ROOT).with_suffix("")).replace(os.sep, ".")
        )
        assert str(module.__file__).endswith(wanted), name


def test_every_pattern_of_the_list_finds_something() -> None:
    """A file that was moved would silently stay plain."""
    assert all(list(ROOT.glob(pattern)) for pattern in build_backend().HOT)
