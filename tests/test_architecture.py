"""The direction of imports: detectors <- retry_proxy <- monitor; inference_backend stands alone."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Package -> packages of ours that it may import, besides itself.
ALLOWED: dict[str, frozenset[str]] = {
    "detectors": frozenset(),
    "retry_proxy": frozenset({"detectors"}),
    "monitor": frozenset({"detectors", "retry_proxy"}),
    "inference_backend": frozenset(),
    "alerts": frozenset(),
    "dashboards": frozenset({"alerts", "monitor", "detectors", "retry_proxy"}),
}

# The command line starts the engine and uploads the dashboards; nothing else of the monitor knows
# them.
EXCEPTIONS = {("monitor/cli.py", "inference_backend"), ("monitor/cli.py", "dashboards")}

# Reached only by commands and options that say which extra they need: training, the judge's own
# process, a plot that was asked for.
WITH_EXTRAS = (
    "monitor/training/",
    "monitor/judge/language_model.py",
    "monitor/judge/token_scores.py",
    "monitor/offline/plot.py",
    "monitor/traffic/on_ray.py",
)

WITHOUT_TORCH = (
    "kv/pages.py",
    "kv/prefix.py",
    "kv/lease.py",
    "kv/spill.py",
    "hicache/host_index.py",
    "hicache/load.py",
    "hicache/tier.py",
    "parallel/accounting.py",
    "parallel/batch.py",
    "parallel/cost.py",
    "parallel/owners.py",
    "parallel/schedule.py",
    "parallel/shares.py",
)


def imported_modules(source: str, package: str = "") -> Iterator[str]:
    """Every module that ``source`` imports, also inside functions; relative ones made absolute."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "" if node.level == 0 else f"{package}.{node.module or ''}"


def python_files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def forbidden_imports(package: str) -> list[str]:
    found = []
    for path in python_files(package):
        name = path.relative_to(ROOT).as_posix()
        for module in imported_modules(path.read_text(encoding="utf-8"), package):
            target = module.split(".", 1)[0]
            is_ours = target in ALLOWED and target != package
            if is_ours and target not in ALLOWED[package] and (name, target) not in EXCEPTIONS:
                found.append(f"{name} imports {module}")
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package: str) -> None:
    """No file imports a package that lies above or beside its own."""
    assert python_files(package), f"no files found in {package}"
    assert forbidden_imports(package) == []


def test_installed_code_imports_neither_tests_nor_benchmarks() -> None:
    """Tests and benchmarks are not installed."""
    for package in ALLOWED:
        for path in python_files(package):
            targets = {
                module.split(".", 1)[0] for module in imported_modules(path.read_text("utf-8"))
            }
            assert not targets & {"tests", "benchmarks"}, path


def test_each_exception_is_used() -> None:
    """An exception that nothing needs any more is removed."""
    for name, target in EXCEPTIONS:
        modules = imported_modules((ROOT / name).read_text("utf-8"))
        assert any(module.split(".", 1)[0] == target for module in modules), (name, target)


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_page_accounting_knows_no_tensors(name: str) -> None:
    """Pages are counted in plain integers (a file that does not exist yet passes)."""
    path = ROOT / "inference_backend" / name
    if path.exists():
        targets = {module.split(".", 1)[0] for module in imported_modules(path.read_text("utf-8"))}
        assert "torch" not in targets


@pytest.mark.parametrize("package", ["detectors", "retry_proxy", "monitor"])
def test_proxy_and_monitor_run_without_torch(package: str) -> None:
    """``pip install specwatch`` without extras must do for them."""
    heavy = {"torch", "transformers", "gguf", "numpy", "safetensors", "tokenizers"}
    heavy |= {"sklearn", "scipy", "matplotlib", "ray"}
    for path in python_files(package):
        if path.relative_to(ROOT).as_posix().startswith(WITH_EXTRAS):
            continue
        targets = {module.split(".", 1)[0] for module in imported_modules(path.read_text("utf-8"))}
        assert not targets & heavy, path


def test_the_command_line_and_the_proxy_load_no_extra() -> None:
    """Whatever imports what, lazily or not: starting them loads none of the heavy packages."""
    code = "import sys, monitor.cli, monitor.serve; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    heavy = {"torch", "transformers", "numpy", "sklearn", "matplotlib", "ray"}
    heavy |= {"opentelemetry.exporter"}  # redis-py loads the SDK itself where there is one
    assert not heavy & set(done.stdout.split())


def test_the_reader_of_imports_sees_them_all() -> None:
    """Plain, from, relative, and inside a function or a type-checking block."""
    source = (
        "import retry_proxy.app as app\n"
        "from monitor import cli\n"
        "from . import near\n"
        "def lazy():\n    from inference_backend.server import main\n"
        "if TYPE_CHECKING:\n    import detectors\n"
    )
    assert set(imported_modules(source, "monitor")) == {
        "retry_proxy.app",
        "monitor",
        "monitor.",
        "inference_backend.server",
        "detectors",
    }
