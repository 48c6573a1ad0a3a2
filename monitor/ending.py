"""How a command ends with an error: one line on standard error, and a status."""

import typer

BAD_INPUT = 2


def fail(error: Exception) -> typer.Exit:
    """Tells the error; what is returned is to be raised."""
    typer.secho(f"specwatch: {error}", err=True, fg="red")
    return typer.Exit(BAD_INPUT)
