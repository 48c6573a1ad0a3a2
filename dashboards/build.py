"""Writes the dashboards' JSON: ``python -m dashboards.build [--check]``."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dashboards import fleet_quality, proxy, replica
from dashboards.grafana import as_json
from dashboards.panel import Board

FOLDER = Path(__file__).parent / "json"
BOARDS: tuple[Board, ...] = (fleet_quality.BOARD, replica.BOARD, proxy.BOARD)


def files() -> Mapping[str, str]:
    """Everything that is built, by file name."""
    return {f"{board.uid}.json": as_json(board) for board in BOARDS}


def stale(built: Mapping[str, str], folder: Path) -> list[str]:
    """Names of files that are missing, not as they would be built, or not built at all."""
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    return sorted(
        name for name in built.keys() | there.keys() if built.get(name) != there.get(name)
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Status 1 if ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m dashboards.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if stale")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder")
    given = parser.parse_args(arguments)
    built = files()
    if given.check:
        wrong = stale(built, given.out)
        for name in wrong:
            print(f"{name} is stale: run python -m dashboards.build", file=sys.stderr)
        return 1 if wrong else 0
    for name, text in built.items():
        (given.out / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
