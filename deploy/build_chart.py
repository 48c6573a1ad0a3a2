"""Copies rules and dashboards into the chart: ``python deploy/build_chart.py [--check]``.

Helm reads no file outside a chart.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = ROOT / "deploy" / "helm" / "specwatch" / "files"


def wanted(root: Path = ROOT) -> Mapping[str, str]:
    """What belongs there, by its path below ``files``."""
    rules = root / "alerts" / "specwatch.rules.yaml"
    boards = sorted((root / "dashboards" / "json").glob("*.json"))
    sources = {"specwatch.rules.yaml": rules, **{f"dashboards/{one.name}": one for one in boards}}
    return {name: source.read_text(encoding="utf-8") for name, source in sources.items()}


def stale(files: Path = FILES) -> list[str]:
    """Paths that differ, are missing, or should not be there."""
    there = {
        path.relative_to(files).as_posix(): path.read_text(encoding="utf-8")
        for path in files.rglob("*")
        if path.is_file()
    }
    built = wanted()
    return sorted(
        name for name in built.keys() | there.keys() if built.get(name) != there.get(name)
    )


def main(arguments: Sequence[str]) -> int:
    """Status 1 if ``--check`` finds a difference."""
    wrong = stale()
    if "--check" in arguments:
        for name in wrong:
            print(f"{name} is stale: run python deploy/build_chart.py", file=sys.stderr)
        return 1 if wrong else 0
    for name in wrong:
        (FILES / name).unlink(missing_ok=True)
    for name, text in wanted().items():
        (FILES / name).parent.mkdir(parents=True, exist_ok=True)
        (FILES / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
