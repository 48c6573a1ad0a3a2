"""``specwatch doctor``: options in, findings out."""

import asyncio
import ssl
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from monitor.addresses import check_address
from monitor.doctor.advice import Finding, findings
from monitor.doctor.facts import Facts
from monitor.doctor.show import as_json, needs_attention, show
from monitor.doctor.visit import LONG_TOKENS, SAMPLE_TOKENS, Visit
from monitor.ending import fail
from monitor.errors import InvalidOptions
from retry_proxy.config import EngineName
from retry_proxy.stream.sockets import SocketUpstream

HELP = f"""Asks replicas what they are and what they can tell the detectors.

**Examples**

    specwatch doctor http://10.0.0.1:30000 http://10.0.0.2:30000

Engine and version, the acceptance signal, missing metrics, whether an abort ends a generation, and
races that this version is known to have. Makes two small requests to each: one answer of
{SAMPLE_TOKENS} tokens, and one of up to {LONG_TOKENS} that is aborted at once; `--no-requests`
leaves both out. Ends with status 1 if something needs attention.
"""


def doctor_command(
    addresses: Annotated[
        list[str], typer.Argument(metavar="URL...", help="Replicas.", show_default=False)
    ],
    no_requests: Annotated[
        bool, typer.Option("--no-requests", help="Generate nothing; look at pages alone.")
    ] = False,
    engine: Annotated[
        EngineName, typer.Option(help="What they are, where they do not say.")
    ] = EngineName.AUTO,
    api_key: Annotated[
        str | None,
        typer.Option(help="Sent as a bearer token.", envvar="SPECWATCH_PROBE_API_KEY"),
    ] = None,
    ca_file: Annotated[
        Path | None,
        typer.Option(help="Certificates to trust, beside the system's.", exists=True),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, help="Seconds for an answer, and for a silence within one.")
    ] = 10.0,
    is_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Visit all of them at once; tell in their order."""
    try:
        for address in addresses:
            check_address(address)
        tls = None if ca_file is None else trusting(ca_file)
    except InvalidOptions as error:
        raise fail(error) from error
    if not no_requests and not is_json:
        typer.secho("Making two small requests to each replica (--no-requests: none).", err=True)
    visits = asyncio.run(
        visit_all(addresses, engine, api_key, tls, timeout, may_generate=not no_requests)
    )
    if is_json:
        typer.echo(as_json(visits))
    else:
        console = Console(highlight=False)
        for facts, found in visits:
            show(console, facts, found)
    raise typer.Exit(int(any(needs_attention(found) for _, found in visits)))


def trusting(ca_file: Path) -> ssl.SSLContext:
    """A context with these certificates, beside the system's.

    Raises:
        InvalidOptions: the file holds none.
    """
    tls = ssl.create_default_context()
    try:
        tls.load_verify_locations(ca_file)
    except OSError as error:  # ssl's own errors are such
        raise InvalidOptions(f"--ca-file {ca_file}: {error}") from error
    return tls


async def visit_all(
    addresses: list[str],
    engine: EngineName,
    api_key: str | None,
    tls: ssl.SSLContext | None,
    timeout_seconds: float,
    *,
    may_generate: bool,
) -> list[tuple[Facts, list[Finding]]]:
    """Each replica's facts and what they mean."""
    upstream = SocketUpstream(timeout_seconds, tls=tls)
    try:
        visits = [Visit(upstream, one, api_key, timeout_seconds) for one in addresses]
        all_facts = await asyncio.gather(
            *(one.facts(engine.value, may_generate=may_generate) for one in visits)
        )
    finally:
        await upstream.close()
    return [(facts, findings(facts)) for facts in all_facts]
