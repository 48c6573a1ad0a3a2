"""``specwatch ablate``: reads options and hands over."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from monitor.ablation.arrivals import Shape
from monitor.ablation.errors import BadGrid
from monitor.ablation.fleet import FleetOptions, Launch
from monitor.ablation.grid import (
    AbortProtocol,
    Cell,
    LoadSync,
    build_grid,
    parse_load,
    parse_ratio,
)
from monitor.ablation.progress import Progress
from monitor.ablation.run import Ablation, RunOptions
from monitor.ablation.show import result_console, show_grid, show_reports
from monitor.ablation.tally import CellReport
from monitor.ending import fail
from monitor.errors import MonitorError
from monitor.offline.progress import error_console

STATUS_NOTHING_ANSWERED, STATUS_INTERRUPTED = 1, 130

HELP = """Counts what the engine's two races corrupt, with and without their cures.

A grid of fleets of the integrated engine on this machine, each started afresh, asked the same
requests and ended: **abort protocol** (`unsafe`: pages of a given-up request are used again while
the prefill may still write; `confirm`: only on its word) x **load sync** (`kv-only`: a prefix that
comes back from host memory is read before its indexer cache is there; `full`: not) x **ratio** of
prefill to decode replicas x **load**. One table: what the engine's own KV sanitizer labels, what
the detectors find in the same streams, how much of the one is in the other, and what it costs.

**Examples**

What would be run; then a small grid on a CPU:

    specwatch ablate --dry-run
    specwatch ablate --requests 40 --load-sync full --load heavy=2x3 --budget-seconds 1

On a GPU, with text of yours for the prompts, for a script:

    specwatch ablate --requests 20000 --rounds 4 --device cuda --text book.txt \\
        --load light=5 --load heavy=60x3 --json

**How to read it**: rates are per 10,000 answers, with exact intervals; no corruption in n answers
leaves up to 3/n of them possible (upper bound of a one-sided 95 %). A row without "given up"
requests had no abort, so it says nothing about the abort protocol: raise the load or lower
`--budget-seconds`. Findings in a row without corruption are the model's own oddities on such
prompts, or false alarms. Rates of load are for the whole fleet, whatever its ratio.

**Status**: 0, 1 if no request was answered, 2 on bad input or an engine that failed, 130 after
Ctrl-C, which shows the table so far; a second Ctrl-C ends all at once.
"""


def ablate_command(
    abort_protocol: Annotated[
        list[AbortProtocol] | None,
        typer.Option(help="Only these; by default both.", show_default=False),
    ] = None,
    load_sync: Annotated[
        list[LoadSync] | None,
        typer.Option(help="Only these; by default both.", show_default=False),
    ] = None,
    ratio: Annotated[
        list[str] | None,
        typer.Option(help="PREFILLS:DECODES; several are compared.", show_default="1:1, 2:1"),
    ] = None,
    load: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=RATE or NAME=RATExBURST: requests a second, and how many times more of "
            "them an eighth of the time.",
            show_default="light=0.3, heavy=2x3",
        ),
    ] = None,
    requests: Annotated[int, typer.Option(min=1, help="Of each cell.")] = 200,
    rounds: Annotated[
        int, typer.Option(min=1, help="The cells take turns this often, in changing order.")
    ] = 1,
    budget_seconds: Annotated[
        float, typer.Option(min=0.001, help="For a prefill; a later one is given up.")
    ] = 2.0,
    prefill_kv_tokens: Annotated[
        int, typer.Option(min=1024, help="KV cache of a prefill: small, so that it evicts.")
    ] = 4096,
    decode_kv_tokens: Annotated[
        int, typer.Option(min=1024, help="KV cache of a decode: small, so that pages are reused.")
    ] = 4096,
    host_kv_tokens: Annotated[
        int, typer.Option(min=1, help="Host memory of a prefill for evicted prefixes.")
    ] = 16_384,
    index_topk: Annotated[
        int, typer.Option(min=1, help="Tokens that a prefill's sparse attention chooses.")
    ] = 64,
    model: Annotated[
        str | None, typer.Option(help="Another model: a local folder or a name.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads of a replica.", show_default="the cores, shared"),
    ] = None,
    flag: Annotated[
        list[str] | None,
        typer.Option(help="A further flag of every replica, as in --flag=--num-drafts=4."),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="Text file to cut the prompts from, in place of words at random."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another one: other prompts and arrivals.")] = 1,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one whole answer.")] = 120.0,
    start_timeout: Annotated[
        float, typer.Option(min=1.0, help="Seconds for an engine to be ready.")
    ] = 300.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the cells.")] = False,
    is_json: Annotated[
        bool, typer.Option("--json", help="The table as one JSON object, nothing else.")
    ] = False,
) -> None:
    """See ``HELP``."""
    try:
        cells = build_grid(
            abort_protocol or list(AbortProtocol),
            load_sync or list(LoadSync),
            [parse_ratio(each) for each in ratio or ("1:1", "2:1")],
            [parse_load(each) for each in load or ("light=0.3", "heavy=2x3")],
        )
        options = RunOptions(
            requests=requests,
            rounds=rounds,
            seed=seed,
            shape=Shape(),
            corpus=read_words(text),
            timeout_seconds=timeout,
            start_seconds=start_timeout,
        )
    except MonitorError as error:
        raise fail(error) from error
    if dry_run:
        show_grid(result_console(), cells, requests)
        return
    fleet = FleetOptions(
        model=model,
        device=device,
        threads=threads,
        budget_seconds=budget_seconds,
        prefill_kv_tokens=prefill_kv_tokens,
        decode_kv_tokens=decode_kv_tokens,
        host_kv_tokens=host_kv_tokens,
        index_topk=index_topk,
        flags=tuple(flag or ()),
    )
    status = ablate(cells, options, fleet.launch, is_json=is_json)
    if status:
        raise typer.Exit(status)


def ablate(cells: Sequence[Cell], options: RunOptions, launch: Launch, *, is_json: bool) -> int:
    """Runs the grid and shows what there is; returns the exit status."""
    failed: MonitorError | None = None
    runs = len(cells) * len(options.round_sizes())
    with Progress(error_console(), runs) as progress:
        ablation = Ablation(cells, options, launch, progress)
        try:
            asyncio.run(ablation.run())
        except MonitorError as error:
            failed = error
        except asyncio.CancelledError:
            return STATUS_INTERRUPTED
    reports = [tally.report() for tally in ablation.tallies.values() if tally.requests]
    show(reports, is_json=is_json)
    if failed is not None:
        return fail(failed).exit_code
    if ablation.is_stopping:
        return STATUS_INTERRUPTED
    return 0 if any(report.answered for report in reports) else STATUS_NOTHING_ANSWERED


def show(reports: Sequence[CellReport], *, is_json: bool) -> None:
    """Cells that nothing was sent to have no row."""
    if is_json:
        sys.stdout.write(msgspec.json.encode({"cells": reports}).decode() + "\n")
    elif reports:
        show_reports(result_console(), reports)


def read_words(path: Path | None) -> tuple[str, ...]:
    """The words of a text file.

    Raises:
        BadGrid: it cannot be read, or holds none.
    """
    if path is None:
        return ()
    try:
        words = tuple(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise BadGrid(f"--text {path}: {error}") from error
    if not words:
        raise BadGrid(f"--text {path}: holds no words")
    return words
