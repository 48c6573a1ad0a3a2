"""``specwatch dashboards``: the command line around ``push``."""

from typing import Annotated

import typer

HELP = """Uploads the three dashboards, their folder and, with `--prometheus`, a data source.

**Examples**

    export GRAFANA_TOKEN=glsa_…            # of a service account with the role Editor (or Admin)
    specwatch dashboards push --grafana http://127.0.0.1:3000
    specwatch dashboards push --grafana https://graphs --prometheus http://prometheus:9090

Can be done again: what is there is brought up to date. Needs `pip install 'specwatch[dashboards]'`.
"""

app = typer.Typer(no_args_is_help=True, help="Grafana dashboards.", rich_markup_mode="markdown")


@app.callback()
def dashboards() -> None:
    """Grafana dashboards."""


@app.command("push", help=HELP)
def push_command(
    grafana: Annotated[str, typer.Option(help="Address of Grafana.", envvar="GRAFANA_URL")],
    token: Annotated[
        str | None,
        typer.Option(
            help="Of a service account; better given as the variable.", envvar="GRAFANA_TOKEN"
        ),
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option(help="Also make a data source for this Prometheus.")
    ] = None,
) -> None:
    """Upload everything, or say in one line why not."""
    try:
        from dashboards.push import PushFailed, built_files, connected, push  # noqa: PLC0415
    except ModuleNotFoundError as error:
        typer.secho(f"{error}: pip install 'specwatch[dashboards]'", err=True, fg="red")
        raise typer.Exit(2) from error
    try:
        with connected(grafana, token) as api:
            done = push(api, grafana, built_files(), prometheus)
    except PushFailed as error:
        typer.secho(f"specwatch: {error}", err=True, fg="red")
        raise typer.Exit(1) from error
    if done.datasource is not None:
        typer.echo(f"data source {done.datasource}")
    for path in done.dashboards:
        typer.echo(grafana.rstrip("/") + path)
