"""``replay`` and ``anonymise``: reads options and hands over."""

import asyncio
import gzip
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from monitor.ending import fail
from monitor.errors import MonitorError
from monitor.offline.progress import error_console
from monitor.traffic.anonymise import anonymised
from monitor.traffic.errors import BadTrace
from monitor.traffic.live import run_here, run_with_ray
from monitor.traffic.outcome import Outcome
from monitor.traffic.reading import read_trace
from monitor.traffic.report import report_of
from monitor.traffic.request_body import Api, Asking
from monitor.traffic.schedule import build_plan
from monitor.traffic.show import show_report
from monitor.traffic.target import ask_target
from monitor.traffic.worker import Job

STATUS_NOTHING_ANSWERED = 1

REPLAY_HELP = """Sends a recorded traffic again: its arrival times, lengths and shared prefixes.

Open loop: a request is sent when it is due, whether or not earlier ones were answered. The prompts
are made up: of the recorded length, and equal to each other where the recorded ones were.

**Examples**

Ten minutes of a recording against a fleet behind specwatch, twice as fast, half as many again:

    specwatch replay trace.jsonl --target http://127.0.0.1:30000 --speed 2 \\
        --concurrency-scale 1.5 --duration 600

Mooncake's and Azure's public traces, as they are; for a script:

    specwatch replay conversation_trace.jsonl --target http://10.0.0.1:30000 --limit 1000 --json

More load than one process can make, on a Ray cluster:

    specwatch replay trace.jsonl --target http://10.0.0.1:30000 --ray auto --workers 16

**Traces**: `specwatch serve --record FILE` writes them; JSON lines with `timestamp` (ms),
`input_length`, `output_length`, `hash_ids` (Mooncake), or CSV with
`TIMESTAMP,ContextTokens,GeneratedTokens` (Azure); gzipped or not.

**Status**: 0, 1 if no request was answered, 2 on bad input. Ctrl-C ends it with the report so far.
"""

ANONYMISE_HELP = """Makes of recordings one trace that may be shown to others, in Mooncake's format.

Joins the files (of several proxies, or rotated ones), sorts by arrival, and leaves out when it was,
which model, which route and the hashes; kept are distances in time, lengths, sampling settings,
which prompts begin alike, and what became of them.

    specwatch anonymise trace.jsonl.2 trace.jsonl.1 trace.jsonl --out share.jsonl.gz
"""

Traces = Annotated[list[str], typer.Argument(help="Traces; several are joined.")]


def register(app: typer.Typer) -> None:
    """Adds the commands to ``specwatch``."""
    app.command("replay", help=REPLAY_HELP)(replay_command)
    app.command("anonymise", help=ANONYMISE_HELP)(anonymise_command)


def replay_command(
    traces: Traces,
    target: Annotated[str, typer.Option(help="Address to send to, e.g. http://127.0.0.1:30000.")],
    speed: Annotated[float, typer.Option(min=0.001, help="2: all arrives in half the time.")] = 1.0,
    concurrency_scale: Annotated[
        float,
        typer.Option(
            min=0.0001,
            help="Times that each request is sent, on average; below 1 some are left out.",
        ),
    ] = 1.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many.")] = None,
    duration: Annotated[
        float | None, typer.Option(min=0.001, help="Only what is due within so many seconds.")
    ] = None,
    max_in_flight: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Most requests at once. One more waits and is counted: the loop is then not open.",
        ),
    ] = None,
    api: Annotated[
        Api | None,
        typer.Option(
            help="How to ask; found out by default: generate (token ids, exact lengths) where the "
            "engine has it, else chat.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(help="Model to ask for; by default the first that the target lists.")
    ] = "",
    ignore_eos: Annotated[
        bool, typer.Option(help="Answers have the recorded length, whatever the model would do.")
    ] = True,
    temperature: Annotated[
        float | None, typer.Option(min=0.0, help="In place of the recorded one.")
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(help="Text file to cut the prompts from, in place of words at random."),
    ] = None,
    seed: Annotated[
        str, typer.Option(help="Another one makes other prompts, which no cache knows yet.")
    ] = "specwatch",
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for one whole answer.")] = 600.0,
    api_key: Annotated[
        str | None,
        typer.Option(help="Sent as a bearer token.", envvar="SPECWATCH_REPLAY_API_KEY"),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Address of a Ray cluster to send from (`auto`, `host:port`, `ray://…`), or "
            "`local`. Needs `pip install 'specwatch[ray]'`."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="With --ray: processes that send.")] = 2,
    is_json: Annotated[
        bool, typer.Option("--json", help="The report as one JSON object, nothing else.")
    ] = False,
    outcomes: Annotated[
        Path | None, typer.Option(help="File for what each request came to, as JSON lines.")
    ] = None,
) -> None:
    """See ``REPLAY_HELP``."""
    try:
        if text is not None and api is Api.GENERATE:
            raise BadTrace(
                "--text needs an --api that takes texts: generate-text, completions, chat"
            )
        plan = build_plan(
            read_trace(traces),
            speed=speed,
            concurrency_scale=concurrency_scale,
            limit=limit,
            duration_seconds=duration,
        )
        if not plan:
            raise BadTrace("nothing to replay: --concurrency-scale or --duration leaves no request")
        wanted = Asking(
            model=model,
            ignores_eos=ignore_eos,
            temperature=temperature,
            seed=seed,
            corpus=_read_words(text),
        )
        asking = asyncio.run(ask_target(target, api, wanted, api_key, timeout))
        job = Job(target, asking, plan, 0.0, timeout, max_in_flight, api_key)
        done = (
            run_here(job, error_console())
            if ray is None
            else run_with_ray(job, error_console(), ray, workers)
        )
        report = report_of(plan, done)
        if outcomes is not None:
            _write_outcomes(outcomes, done.outcomes)
    except MonitorError as error:
        raise fail(error) from error
    if is_json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    else:
        show_report(Console(highlight=False), report)
    if report.answered == 0:
        raise typer.Exit(STATUS_NOTHING_ANSWERED)


def anonymise_command(
    traces: Traces,
    out: Annotated[Path, typer.Option(help="File to write; gzipped if it ends in .gz.")],
) -> None:
    """See ``ANONYMISE_HELP``."""
    try:
        requests = read_trace(traces)
        lines = b"".join(msgspec.json.encode(line) + b"\n" for line in anonymised(requests))
        _write(out, gzip.compress(lines, mtime=0) if out.suffix == ".gz" else lines)
    except MonitorError as error:
        raise fail(error) from error
    typer.echo(f"wrote {len(requests):,} requests to {out}")


def _read_words(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    try:
        words = tuple(path.read_text(encoding="utf-8").split())
    except (OSError, UnicodeDecodeError) as error:
        raise BadTrace(f"--text {path}: {error}") from error
    if not words:
        raise BadTrace(f"--text {path}: holds no words")
    return words


def _write_outcomes(path: Path, outcomes: list[Outcome]) -> None:
    _write(path, b"".join(msgspec.json.encode(one) + b"\n" for one in outcomes))


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise BadTrace(f"{path}: cannot be written ({error.strerror})") from error
