"""The command ``specwatch``. Reads options and hands over; knows how to do nothing itself."""

import platform
from pathlib import Path
from typing import Annotated, Any

import typer

from dashboards.command import app as dashboards_app
from monitor.ablation.command import HELP as ABLATE_HELP
from monitor.ablation.command import ablate_command
from monitor.demo.options import DemoOptions
from monitor.doctor.command import HELP as DOCTOR_HELP
from monitor.doctor.command import doctor_command
from monitor.drill.command import HELP as DRILL_HELP
from monitor.drill.command import drill_command
from monitor.ending import fail
from monitor.errors import InvalidOptions, MonitorError
from monitor.flags import with_option_flags
from monitor.incidents.commands import register as register_incidents
from monitor.offline.commands import register
from monitor.options import build_configs, merge, read_file
from monitor.report.command import HELP as REPORT_HELP
from monitor.report.command import report_command
from monitor.top.command import HELP as TOP_HELP
from monitor.top.command import top_command
from monitor.traffic.commands import register as register_traffic
from monitor.training.command import HELP as TRAIN_HELP
from monitor.training.command import train_command
from monitor.triage.command import HELP as TRIAGE_HELP
from monitor.triage.command import triage_command
from monitor.version import VERSION

DEMO = DemoOptions()

app = typer.Typer(
    name="specwatch",
    help="Watches the generations of an LLM serving fleet by the acceptance of their drafts, stops "
    "the sick ones and has another replica do them again before the client sees anything.",
    epilog="Begin with: specwatch demo",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

SERVE_HELP = """The proxy with its monitor, in front of given replicas.

**Examples**

Two SGLang replicas; clients talk to port 30000 as they did to the engine:

    specwatch serve --replica http://10.0.0.1:30000 --replica http://10.0.0.2:30000

Stricter rule, open to the network, incidents shared with other proxies:

    specwatch serve --config specwatch.yaml --host 0.0.0.0 --redis redis://10.0.0.9:6379/0

The file's keys are the flags' names (`max_attempts: 2`, `replicas: [http://…]`).
A flag wins over the environment (`SPECWATCH_MAX_ATTEMPTS`), the environment over the file.

Then see `/metrics`, `/api/incidents`, `/api/replicas`, `/health` and `/ready`.
"""

RECORD_HELP = """`specwatch serve --record TRACE`: the proxy, and a record of its traffic.

**Examples**

    specwatch record trace.jsonl --replica http://10.0.0.1:30000

A line for each request, as in Mooncake's traces and with more fields: arrival, token counts,
sampling settings, salted hashes of the prompt's blocks of 512 tokens, outcome. No text. Full files
are renamed to `trace.jsonl.1` … `.3`. A full disk ends the recording, not the service
(`specwatch_record_up` says so). Then: `specwatch replay`, `specwatch anonymise`.
"""


def serve(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="YAML file with options.",
            envvar="SPECWATCH_CONFIG",
            rich_help_panel="Address and fleet",
        ),
    ] = None,
    **given: Any,
) -> None:
    """Read the options from their four places and serve."""
    try:
        from_file = {} if config is None else read_file(config)
        proxy, monitor = build_configs(merge(given, from_file))
    except InvalidOptions as error:
        raise fail(error) from error
    from monitor.serve import run  # noqa: PLC0415 (keeps the other commands quick)

    run(proxy, monitor)


app.command("serve", help=SERVE_HELP)(with_option_flags(serve))


def record(
    trace: Annotated[
        Path, typer.Argument(help="File to write; gzipped if it ends in .gz.", show_default=False)
    ],
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="YAML file with options.",
            envvar="SPECWATCH_CONFIG",
            rich_help_panel="Address and fleet",
        ),
    ] = None,
    **given: Any,
) -> None:
    """Serve, and record meanwhile."""
    serve(config, **{**given, "record": str(trace)})


app.command("record", help=RECORD_HELP)(with_option_flags(record))
register(app)
register_traffic(app)
register_incidents(app)
app.command("report", help=REPORT_HELP)(report_command)
app.command("top", help=TOP_HELP)(top_command)
app.command("ablate", help=ABLATE_HELP)(ablate_command)
app.command("triage", help=TRIAGE_HELP)(triage_command)
app.command("doctor", help=DOCTOR_HELP)(doctor_command)
app.command("drill", help=DRILL_HELP)(drill_command)
app.command("train", help=TRAIN_HELP)(train_command)
app.add_typer(dashboards_app, name="dashboards")


@app.command(
    "backend",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def backend(context: typer.Context) -> None:
    """One engine replica, with speculative decoding and fault drills. Has a `--help` of its own."""
    # The only import of the engine in this package; it says itself what to install without torch.
    from inference_backend.__main__ import main  # noqa: PLC0415

    raise typer.Exit(main(context.args))


@app.command("demo")
def demo(
    requests: Annotated[
        int, typer.Option(min=2, max=500, help="Most requests per phase.")
    ] = DEMO.requests,
    concurrency: Annotated[
        int, typer.Option(min=1, max=64, help="Requests at a time.")
    ] = DEMO.concurrency,
    max_tokens: Annotated[int, typer.Option(min=16, help="Tokens of an answer.")] = DEMO.max_tokens,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="How freely it writes.")
    ] = DEMO.temperature,
    phase_seconds: Annotated[
        float, typer.Option(min=1.0, help="No new request in the first phase after this long.")
    ] = DEMO.phase_seconds,
    fault_rate: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of damaged runs on the sick replica.")
    ] = DEMO.fault_rate,
    min_accept_length: Annotated[
        float | None, typer.Option(help="Another threshold for the proxy than its default.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Another model: a local folder or a name.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave all running afterwards, until Ctrl-C.")
    ] = False,
) -> None:
    """Two replicas, one with damaged cache pages: the same questions without, then with protection.

    Takes under three minutes on two cores once the model is there. Ends with status 0 only if, with
    protection, no answer ended on damaged cache and every request got a full answer.
    """
    from monitor.demo.run import run  # noqa: PLC0415 (keeps the others quick)

    options = DemoOptions(
        requests=requests,
        concurrency=concurrency,
        max_tokens=max_tokens,
        temperature=temperature,
        phase_seconds=phase_seconds,
        fault_rate=fault_rate,
        min_accept_length=min_accept_length,
        model=model,
        keep=keep,
    )
    try:
        status = run(options)
    except MonitorError as error:
        raise fail(error) from error
    raise typer.Exit(status)


@app.command("version")
def version() -> None:
    """The versions of specwatch and Python."""
    typer.echo(f"specwatch {VERSION} (Python {platform.python_version()})")
