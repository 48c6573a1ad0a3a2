"""``python -m monitor`` is the command ``specwatch``."""

from monitor.cli import app

app(prog_name="specwatch")
