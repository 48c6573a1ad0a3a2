"""Makes typer parameters of the configurations' fields, so that each option exists once."""

import dataclasses
import enum
import inspect
from collections.abc import Callable
from typing import Annotated, Any, get_type_hints

import typer

from monitor.config import MonitorConfig
from monitor.options import FIELDS, FLAGS
from retry_proxy.config import ProxyConfig

# Given several times on the command line, a list in the file.
REPEATED = {"replicas": "--replica", "allow_addresses": "--allow-address"}


def flag_name(field_name: str) -> str:
    """``max_attempts`` -> ``--max-attempts``."""
    return REPEATED.get(field_name, "--" + field_name.replace("_", "-"))


def environment_name(field_name: str) -> str:
    """``max_attempts`` -> ``SPECWATCH_MAX_ATTEMPTS``."""
    return "SPECWATCH_" + flag_name(field_name).removeprefix("--").replace("-", "_").upper()


def with_option_flags(command: Callable[..., None]) -> Callable[..., None]:
    """``command(**given)`` with one flag per option added to its own parameters."""
    own = [
        parameter
        for parameter in inspect.signature(command).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    parameters = [*own, *(option_parameter(name) for name in FLAGS)]
    # typer reads both; a signature may not be set through the type of a function.
    signature = inspect.Signature(parameters)
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def option_parameter(field_name: str) -> inspect.Parameter:
    """One option as a keyword parameter; ``None`` when neither flag nor environment gave it."""
    flag = FLAGS[field_name]
    option = typer.Option(
        flag_name(field_name),
        help=flag.help,
        rich_help_panel=flag.panel,
        envvar=environment_name(field_name),
        show_default=shown_default(field_name),
    )
    return inspect.Parameter(
        field_name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[option_type(field_name), option],
    )


def option_type(field_name: str) -> Any:
    """The field's type as typer takes it, or ``None``."""
    if field_name in REPEATED:
        return list[str] | None
    kind = (get_type_hints(ProxyConfig) | get_type_hints(MonitorConfig))[field_name]
    return kind | None


def shown_default(field_name: str) -> str | bool:
    """The default as ``--help`` tells it."""
    default = FIELDS[field_name].default
    if default in (None, ()) or default is dataclasses.MISSING:
        return False
    if isinstance(default, enum.Enum):
        return str(default.value)
    return str(default).lower() if isinstance(default, bool) else str(default)
