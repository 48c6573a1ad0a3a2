"""The README's commands, options and folders are those that exist."""

import re
from pathlib import Path

from typer.testing import CliRunner

from monitor.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_two_commands_stand_on_the_first_screen_and_exist() -> None:
    first_screen = "\n".join(README.splitlines()[:24])
    targets = re.findall(r"^make (\w+)", first_screen, re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets == ["demo", "test"]
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)


def test_every_option_of_the_table_is_one_of_serve() -> None:
    table = README.split("## Main options of `specwatch serve`")[1].split("\n## ")[0]
    named = set(re.findall(r"^\| `(--[a-z-]+)", table, re.MULTILINE))
    shown = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    assert len(named) > 8
    assert {option for option in named if option not in shown} == set()


def test_every_folder_of_the_map_exists() -> None:
    table = README.split("## Folders")[1]
    folders = re.findall(r"^\| `([a-z_]+)/`", table, re.MULTILINE)
    assert len(folders) == 9
    assert all((ROOT / folder).is_dir() for folder in folders)
