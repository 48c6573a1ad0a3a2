"""``specwatch drill``: options in, the chain out."""

import asyncio
import contextlib
import signal
from typing import Annotated
from urllib.parse import urlsplit

import typer

from monitor.addresses import check_address, is_loopback
from monitor.drill.chain import Chain, Seen
from monitor.drill.run import DrillOptions, drill
from monitor.ending import fail
from monitor.errors import DrillFailed, InvalidOptions

DEFAULT = DrillOptions("", "", "")
INTERRUPTED = 130

HELP = """Damages generations on purpose and shows that the alarm chain works, end to end.

**Examples**

    export SPECWATCH_BACKEND_KEY=…
    specwatch drill --proxy http://127.0.0.1:30000 --backend http://127.0.0.1:30001 \\
        --prometheus http://127.0.0.1:9090 --alertmanager http://127.0.0.1:9093

Switches a fault on in one `specwatch backend` (started with `--admin-key`) behind the proxy, sends
requests, and tells each link with its time: damaged, stored, retried, counted, scraped, firing.
The fault is switched off in any case. People who get real alerts should know of it before.
"""


def drill_command(
    proxy: Annotated[str, typer.Option(help="Address of `specwatch serve`.", show_default=False)],
    backend: Annotated[
        str, typer.Option(help="Address of the replica that falls ill.", show_default=False)
    ],
    backend_key: Annotated[
        str,
        typer.Option(
            help="The backend's admin key; better given as the variable.",
            envvar="SPECWATCH_BACKEND_KEY",
            show_default=False,
        ),
    ],
    admin_key: Annotated[
        str | None, typer.Option(help="The proxy's, if it has one.", envvar="SPECWATCH_ADMIN_KEY")
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(help="A client's, if the proxy wants one.", envvar="SPECWATCH_DRILL_API_KEY"),
    ] = None,
    replica: Annotated[
        str | None, typer.Option(help="The backend's address as the proxy has it, if another.")
    ] = None,
    prometheus: Annotated[
        str | None, typer.Option(help="Address; has the proxy's metrics.")
    ] = None,
    alertmanager: Annotated[str | None, typer.Option(help="Address; gets the alerts.")] = None,
    kind: Annotated[str, typer.Option(help="noise, zero_layers or foreign_pages.")] = DEFAULT.kind,
    model: Annotated[str, typer.Option(help="Model to ask for.")] = DEFAULT.model,
    concurrency: Annotated[
        int, typer.Option(min=1, max=64, help="Requests at a time.")
    ] = DEFAULT.concurrency,
    max_tokens: Annotated[int, typer.Option(min=32, help="Of each answer.")] = DEFAULT.max_tokens,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds until a missing link counts as broken.")
    ] = DEFAULT.timeout_seconds,
    yes: Annotated[bool, typer.Option("--yes", help="Also where this is not one machine.")] = False,
) -> None:
    """Refuse, or run and tell."""
    options = DrillOptions(
        proxy=proxy,
        backend=backend,
        backend_key=backend_key,
        admin_key=admin_key,
        api_key=api_key,
        replica=replica,
        prometheus=prometheus,
        alertmanager=alertmanager,
        kind=kind,
        model=model,
        concurrency=concurrency,
        max_tokens=max_tokens,
        timeout_seconds=timeout,
    )
    try:
        check(options, is_sure=yes)
        chain = asyncio.run(until_signal(options))
    except (InvalidOptions, DrillFailed) as error:
        raise fail(error) from error
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        typer.secho("Stopped; the fault is off.", err=True)
        raise typer.Exit(INTERRUPTED) from error
    tell_end(chain)
    raise typer.Exit(int(bool(chain.missing)))


def check(options: DrillOptions, *, is_sure: bool) -> None:
    """Looks at the addresses.

    Raises:
        InvalidOptions: one is none, or leads elsewhere and nobody said that this is meant.
    """
    for name in ("proxy", "backend", "prometheus", "alertmanager", "replica"):
        address = getattr(options, name)
        if address is not None:
            check_address(address)
    for address in (options.proxy, options.backend):
        if not is_sure and not is_loopback(urlsplit(address).hostname or ""):
            raise InvalidOptions(
                f"{address} is not this machine: answers there will be damaged and people may be "
                "called. Give --yes if that is meant"
            )


async def until_signal(options: DrillOptions) -> Chain:
    """The drill; SIGTERM ends it as Ctrl-C does, with the fault off.

    Of both only the first is followed: the second of somebody who is in a hurry would end the
    switching off.
    """
    task = asyncio.current_task()
    assert task is not None
    is_told = False

    def stop() -> None:
        nonlocal is_told
        if not is_told:
            is_told = True
            typer.echo("Stopping: the fault is being switched off.", err=True)
            task.cancel()

    with contextlib.suppress(NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop)
    return await drill(options, tell)


def tell(seen: Seen) -> None:
    """One link, as soon as it is there."""
    detail = f"  ({seen.detail})" if seen.detail else ""
    typer.echo(f"{seen.seconds:7.2f} s  {seen.link.value}{detail}")


def tell_end(chain: Chain) -> None:
    """Whether it held."""
    typer.echo("The fault is off again.")
    for link in chain.missing:
        typer.secho(f"  missing  {link.value}", fg="red")
    if not chain.missing:
        typer.secho("The whole chain works.", fg="green")
