"""``specwatch train``: reads options, learns, and says what came out."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from monitor.ending import fail
from monitor.errors import MonitorError
from monitor.offline.baselines import load_baselines
from monitor.offline.errors import MissingExtra
from monitor.offline.progress import with_progress
from monitor.offline.reading import read_recordings
from monitor.offline.recording import Recording

HELP = """Learns the fusion's numbers from labelled recordings of your own traffic.

Recordings (see `specwatch scan --help`) need `fault` (`none`: healthy) and, with damage,
`onset_token`: from drills on a replica of your own (`specwatch backend --admin-key`), or from
incidents that people looked into. Prompts never stand in two splits.

**Examples**

    specwatch train generations/*.jsonl.gz --out fusion.json
    specwatch train drills.jsonl --baseline baselines.json --out fusion.json

Then: `specwatch serve --fusion fusion.json …`
"""


def train_command(
    files: Annotated[list[str], typer.Argument(help="Labelled recordings; `-` is standard input.")],
    out: Annotated[Path, typer.Option("--out", help="Where the numbers go (JSON).")],
    baseline: Annotated[
        Path | None, typer.Option("--baseline", help="Baselines of `specwatch calibrate`.")
    ] = None,
) -> None:
    """Read the recordings, learn, write and report."""
    try:
        train(files, out, baseline)
    except MonitorError as error:
        raise fail(error) from error


def train(files: list[str], out: Path, baseline: Path | None) -> None:
    """Learns from ``files`` and writes ``out``.

    Raises:
        MonitorError: scikit-learn is missing, a file cannot be read, or there is too little.
    """
    try:
        from monitor.training.fusion import courses, learn  # noqa: PLC0415 (an extra)
        from monitor.training.report import outcome  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"`specwatch train` needs {error.name}: pip install 'specwatch[train]'"
        ) from error
    baselines = load_baselines(baseline)
    records: Iterable[Recording] = with_progress(
        (each for each in read_recordings(files) if each.is_labelled), "reading", None
    )
    found = list(courses(records, baselines))
    words = f"{len(found)} recordings, {sum(each.record.is_damaged for each in found)} damaged"
    try:
        weights = learn(found, words)
    except ValueError as error:
        raise MonitorError(f"too little to learn from: {error}") from error
    out.write_text(json.dumps(weights.to_dict(), indent=1) + "\n", encoding="utf-8")
    console = Console(highlight=False)
    table = Table("feature", "weight", title=f"fusion, learned from {words}")
    for name, weight in weights.to_dict()["weights"].items():
        table.add_row(name, f"{weight:.3f}")
    console.print(table)
    result = outcome([each for each in found if each.split == "test"], weights)
    console.print(
        f"alarm at {weights.alarm_score:.2f}, watch at {weights.watch_score:.2f}; test split: "
        f"{result.caught} of {result.damaged} caught, delay {result.median_delay} (95 %: "
        f"{result.p95_delay}) tokens; {result.false_alarms} of {result.healthy} healthy stopped "
        f"({result.healthy_tokens:,} tokens), {result.held_share:.2%} of them held; calibration "
        f"error {result.calibration_error:.4f}"
    )
    console.print(f"wrote {out}")
