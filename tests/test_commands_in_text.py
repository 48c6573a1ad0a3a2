"""Commands that README, runbooks and help texts tell people to type exist as written."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from monitor.cli import app

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", *sorted((ROOT / "alerts" / "runbooks").glob("*.md"))]
COMMAND: Any = get_command(app)


def joined(text: str) -> str:
    """Lines that go on in the next one are one."""
    return re.sub(r"\s*\\\n\s*", " ", text)


def told(text: str) -> list[str]:
    """Lines of code blocks, and code in sentences, that call ``specwatch``."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in joined(block).splitlines()]
    code = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return [one.strip() for one in (*lines, *code) if re.match(r"\s*specwatch (?!is )[a-z]", one)]


def unknown(line: str) -> list[str]:
    """What of a command does not exist: its name, or its options."""
    words = re.split(r" [|>#] ", line, maxsplit=1)[0].split()[1:]
    command = COMMAND
    while words and hasattr(command, "commands"):
        name = words.pop(0)
        if name not in command.commands:
            return [name]
        command = command.commands[name]
    known = {"--help"}.union(*(each.opts + each.secondary_opts for each in command.params))
    options = [word.split("=")[0] for word in words if word.startswith("--")]
    return [option for option in options if option not in known]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.stem)
def test_commands_exist_as_written(path: Path) -> None:
    assert {line: gone for line in told(path.read_text()) if (gone := unknown(line))} == {}


def test_examples_of_the_help_exist_as_written() -> None:
    helps = {name: command.help or "" for name, command in COMMAND.commands.items()}
    lines = [line.strip() for text in helps.values() for line in joined(text).splitlines()]
    examples = [line for line in lines if line.startswith("specwatch ")]
    assert len(examples) > 10
    assert {line: gone for line in examples if (gone := unknown(line))} == {}


def test_a_command_that_is_gone_is_noticed() -> None:
    assert told("Run `specwatch fly` or\n```\nspecwatch serve --x\n```\n") == [
        "specwatch serve --x",
        "specwatch fly",
    ]
    assert unknown("specwatch fly") == ["fly"]
    assert unknown("specwatch serve --replica http://a --wings") == ["--wings"]
    assert unknown("specwatch incidents --json > file") == []
