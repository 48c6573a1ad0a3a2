"""``scan``, ``calibrate`` and ``evaluate``: reads options and hands over."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from detectors.draft_health import DraftState
from monitor.ending import fail
from monitor.errors import MonitorError
from monitor.offline.baselines import load_baselines, write_baselines
from monitor.offline.calibrate import Learned, describe
from monitor.offline.errors import BadRecording
from monitor.offline.evaluate import GROUPINGS, Evaluation, evaluation_of
from monitor.offline.live import LiveTraffic
from monitor.offline.panels import Panels
from monitor.offline.plot import save_plot, terminal_plot
from monitor.offline.progress import SHORT_BYTES, error_console, with_progress
from monitor.offline.reading import count_records, read_recordings, size_of
from monitor.offline.recording import Recording
from monitor.offline.scan import Summary, json_line, print_finding, scan
from monitor.offline.table import LEAST_WIDTH, NOTES, rate_rows, rates_table, results_table
from monitor.offline.weights import load_weights
from monitor.store.baselines import publish
from retry_proxy.config import PanelName

STATUS_FOUND = 1

Files = Annotated[
    list[str],
    typer.Argument(help="Recordings or texts; `-` is standard input.", show_default=False),
]
Baselines = Annotated[
    Path | None,
    typer.Option(
        "--baseline", help="Baselines of `specwatch calibrate`, besides the packaged ones."
    ),
]
Fusion = Annotated[
    Path | None,
    typer.Option("--fusion", help="Weights of `specwatch train`, instead of the packaged ones."),
]
PanelOption = Annotated[
    PanelName, typer.Option("--panel", help="All detectors, or the published thresholds alone.")
]
Replica = Annotated[
    DraftState,
    typer.Option(
        help="What is known of the drafter of the replica that wrote them. On a `healthy` one, low "
        "acceptance alone is believed from the first token on."
    ),
]

FORMAT_HELP = """**Input**

`.jsonl` and `.jsonl.gz`: one JSON object a line with `id`, `text`, and where known
`tokens_per_event` (tokens in each streamed event, the prefill event first), `accepted_per_step`,
`drafted_per_step`, `token_ids`, `logprobs`, `model`, `engine`, `num_drafts`. Unknown fields are
ignored; `text` may be missing where there are `token_ids`. Any other file is one plain text.
"""

SCAN_HELP = f"""Runs the detectors over texts and recorded streams; shows what is sick, and where.

**Examples**

One text; a folder of recordings; a pipe:

    specwatch scan answer.txt
    specwatch scan recordings/*.jsonl.gz
    jq -c '{{id, text: .response}}' log.json | specwatch scan -

For a script: one JSON object a record, `verdict` is null or has `kind`, `detector`, `score`,
`onset_token`, `alarm_token` and `reason`; nothing else on standard output:

    specwatch scan --json answers.jsonl | jq -c 'select(.verdict)'

In a test of a deployment, status 1 if anything is found:

    specwatch scan --fail-on-finding nightly.jsonl

{FORMAT_HELP}
**Status**: 0 whether or not something is found (1 with `--fail-on-finding`), 2 on bad input.
"""

CALIBRATE_HELP = f"""Learns what healthy acceptance looks like, per model, engine and drafts.

Recordings that are marked as damaged or that the panel flags are left out: bad state never teaches.
A baseline needs at least 50 requests of your usual traffic; some hundreds are better.

**Examples**

    specwatch calibrate recordings/*.jsonl.gz --out baselines.json
    specwatch calibrate --proxy http://127.0.0.1:30000 --requests 500 --out baselines.json
    specwatch calibrate week.jsonl --plot acceptance.png
    specwatch calibrate week.jsonl --redis redis://10.0.0.9:6379/0

Then: `specwatch scan --baseline baselines.json …`

{FORMAT_HELP}"""

EVALUATE_HELP = f"""Measures the panel, each detector and the rules of others on labelled records.

Recordings need `fault` (`none`: healthy) or `label` (`good`: healthy), and with damage
`onset_token`. An alarm before the onset is a false alarm, not a hit. Every figure comes with its
count and 95 % interval.

**Examples**

    specwatch evaluate generations/*.jsonl.gz --by class --by temperature
    specwatch evaluate labelled.jsonl --split test --json > figures.json

{FORMAT_HELP}"""


def register(app: typer.Typer) -> None:
    """Adds the commands to ``specwatch``."""
    app.command("scan", help=SCAN_HELP)(scan_command)
    app.command("calibrate", help=CALIBRATE_HELP)(calibrate_command)
    app.command("evaluate", help=EVALUATE_HELP)(evaluate_command)


@contextmanager
def told_errors() -> Iterator[None]:
    """Errors in one line, with status 2."""
    try:
        yield
    except MonitorError as error:
        raise fail(error) from error


def read_with_progress(names: list[str], what: str) -> Iterable[Recording]:
    """The records, with a bar if the input is long; nothing is kept."""
    size = size_of(names)
    is_long = size is None or size >= SHORT_BYTES
    total = count_records(names) if is_long else None
    return with_progress(read_recordings(names), what, total, is_shown=is_long)


def scan_command(
    files: Files,
    is_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a record, nothing else.")
    ] = False,
    shows_all: Annotated[bool, typer.Option("--all", help="Tell clean records too.")] = False,
    fails_on_finding: Annotated[
        bool, typer.Option("--fail-on-finding", help="End with status 1 if anything is found.")
    ] = False,
    baseline: Baselines = None,
    fusion: Fusion = None,
    panel: PanelOption = PanelName.DEFAULT,
    replica: Replica = DraftState.UNKNOWN,
) -> None:
    """See ``SCAN_HELP``."""
    console, summary = Console(highlight=False), Summary()
    with told_errors():
        panels = Panels(panel, load_baselines(baseline), load_weights(fusion), replica)
        for scanned in scan(read_with_progress(files, "scanning"), panels):
            summary.add(scanned)
            if is_json:
                sys.stdout.write(json_line(scanned) + "\n")
            elif scanned.verdict is not None or shows_all:
                print_finding(console, scanned)
    target = error_console() if is_json else console
    for line in summary.lines():
        target.print(line, markup=False, soft_wrap=True)
    if fails_on_finding and summary.has_finding:
        raise typer.Exit(STATUS_FOUND)


def calibrate_command(
    files: Annotated[
        list[str] | None, typer.Argument(help="Recordings; `-` is standard input.")
    ] = None,
    proxy: Annotated[
        str | None, typer.Option(help="Learn from the traffic of this proxy instead.")
    ] = None,
    requests: Annotated[
        int, typer.Option(min=1, help="With --proxy: how many requests to wait for.")
    ] = 200,
    seconds: Annotated[
        float, typer.Option(min=0.0, help="With --proxy: how long to wait for them.")
    ] = 3600.0,
    admin_key: Annotated[
        str | None,
        typer.Option(help="With --proxy: its admin key.", envvar="SPECWATCH_ADMIN_KEY"),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File to add the baselines to; made if it is not there.")
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(help="Share them with every proxy that has this --redis, while it serves."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Picture to write, as .png or .svg (needs matplotlib).")
    ] = None,
    baseline: Baselines = None,
) -> None:
    """See ``CALIBRATE_HELP``."""
    with told_errors():
        if (proxy is None) == (not files):
            raise BadRecording("give recordings, or --proxy URL; see `specwatch calibrate --help`")
        panels = Panels(PanelName.DEFAULT, load_baselines(baseline))
        learned = Learned()
        traffic = None if proxy is None else LiveTraffic(proxy, requests, seconds, admin_key)
        for record in _lessons(files or [], traffic):
            learned.add(record, panels)
        _tell_learned(Console(highlight=False), learned)
        if out is not None:
            write_baselines(out, learned.library())
            typer.echo(f"wrote {out}; use it with `specwatch scan --baseline {out}`")
        if redis is not None:
            typer.echo(f"shared {publish(redis, learned.library())} through Redis")
        if plot is not None:
            save_plot(plot, learned.requests)
            typer.echo(f"wrote {plot}")


def _lessons(files: list[str], traffic: LiveTraffic | None) -> Iterable[Recording]:
    if traffic is None:
        return read_with_progress(files, "learning")
    return with_progress(traffic.recordings(), "listening", traffic.requests)


def _tell_learned(console: Console, learned: Learned) -> None:
    for reason, count in sorted(learned.skipped.items()):
        console.print(f"left out: {count:,} {reason}", markup=False)
    if not learned.requests:
        raise BadRecording("nothing to learn from: no healthy recording tells accepted_per_step")
    for source, requests in sorted(learned.requests.items()):
        for line in describe(source, requests):
            style = "yellow" if line.startswith("warning") else "bold"
            console.print(line, style=style, markup=False, soft_wrap=True)
        console.print(terminal_plot(requests))


def evaluate_command(
    files: Files,
    by: Annotated[
        list[str] | None,
        typer.Option(help=f"Group by {', '.join(GROUPINGS)}; may be given several times."),
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Only records of this split, as `test`.")
    ] = None,
    is_json: Annotated[
        bool, typer.Option("--json", help="All figures as one JSON object.")
    ] = False,
    with_rivals: Annotated[
        bool, typer.Option("--rivals/--no-rivals", help="Also the rules of others.")
    ] = True,
    onset_slack: Annotated[
        int, typer.Option(min=0, help="Tokens by which the recorded onset may be late.")
    ] = 0,
    baseline: Baselines = None,
    fusion: Fusion = None,
    replica: Replica = DraftState.UNKNOWN,
) -> None:
    """See ``EVALUATE_HELP``."""
    grouping = tuple(by or ("class",))
    with told_errors():
        unknown = [name for name in grouping if name not in GROUPINGS]
        if unknown:
            raise BadRecording(f"--by {unknown[0]}: choose from {', '.join(GROUPINGS)}")
        panels = Panels(PanelName.DEFAULT, load_baselines(baseline), load_weights(fusion), replica)
        evaluation = evaluation_of(
            panels, grouping, with_rivals=with_rivals, onset_slack=onset_slack
        )
        for record in read_with_progress(files, "evaluating"):
            if split is None or record.split == split:
                evaluation.add(record)
        if evaluation.records == 0:
            chosen = f" of split {split!r}" if split is not None else ""
            raise BadRecording(f"nothing to evaluate: the input has no record{chosen}")
        evaluation.measure_costs()
    _tell_evaluation(evaluation, is_json)


def _tell_evaluation(evaluation: Evaluation, is_json: bool) -> None:
    if is_json:
        sys.stdout.write(msgspec.json.encode(evaluation.to_dict()).decode() + "\n")
    else:
        console = Console(highlight=False)
        console.width = max(console.width, LEAST_WIDTH)
        console.print(results_table(evaluation))
        if any(rate_rows(evaluation)):
            console.print(rates_table(evaluation))
        for note in NOTES:
            console.print(f"- {note}", markup=False)
    if evaluation.unlabelled:
        error_console().print(
            f"{evaluation.unlabelled:,} records have neither fault nor label; "
            "they were taken for healthy"
        )
