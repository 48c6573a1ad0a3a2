"""What a benchmark found: a table on the screen, and on demand JSON and Markdown files."""

import json
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One benchmark's outcome.

    Attributes:
        name: of the benchmark; the files are called after it and the hardware.
        notes: what a reader must know, a sentence each.
        raw: every single measurement, for the JSON file.
    """

    name: str
    title: str
    device: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    raw: dict[str, Any] = field(default_factory=dict)


def publish(report: Report, *, write: bool) -> None:
    """Shows the table; writes both files if asked to."""
    table = Table(title=report.title)
    for column in report.columns:
        table.add_column(column)
    for row in report.rows:
        table.add_row(*row)
    console = Console()
    console.width = max(console.width, 130)  # a pipe has 80 columns, too few for a table
    console.print(table)
    for note in report.notes:
        console.print(f"- {note}", highlight=False)
    if write:
        for path in write_files(report):
            console.print(f"wrote {path}", highlight=False)


def write_files(report: Report) -> list[Path]:
    hardware, about = hardware_name(report.device), conditions(report.device)
    stem = f"{report.name}-{re.sub(r'[^a-z0-9]+', '-', hardware.lower()).strip('-')}"
    FOLDER.mkdir(exist_ok=True)
    data = FOLDER / f"{stem}.json"
    rows = [dict(zip(report.columns, row, strict=True)) for row in report.rows]
    content = {"conditions": about, "rows": rows, "notes": list(report.notes), "raw": report.raw}
    data.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    text = FOLDER / f"{stem}.md"
    text.write_text(markdown(report, about), encoding="utf-8")
    return [data, text]


def markdown(report: Report, about: dict[str, str]) -> str:
    lines = [f"# {report.title}", ""]
    lines += [f"- {name}: {value}" for name, value in about.items()]
    lines += ["", row_of(report.columns), row_of(["---"] * len(report.columns))]
    lines += [row_of(row) for row in report.rows]
    if report.notes:
        lines += ["", *(f"- {note}" for note in report.notes)]
    return "\n".join(lines) + "\n"


def row_of(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def conditions(device: str) -> dict[str, str]:
    """Hardware, versions, command and day."""
    return {
        "hardware": hardware_name(device),
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "command": command_line(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def command_line() -> str:
    """As it can be typed again in the repository's root."""
    spec = sys.modules["__main__"].__spec__
    program = ["-m", spec.name] if spec is not None else [Path(sys.argv[0]).name]
    return shlex.join(["python", *program, *sys.argv[1:]])


def hardware_name(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"{cpu_name()}, {torch.get_num_threads()} threads"


def cpu_name() -> str:
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    named = re.search(r"model name\s*: (.+)", described)
    return named.group(1).strip() if named else platform.machine()
