"""A wall clock that jumps by an hour ejects nobody, expires nothing and cuts no stream.

Every wait and every pause is measured with a clock that only goes forward. What holds it: the files
that may read the wall clock are listed, each with what for; a real process under a jumping clock
would need a library that is not installed everywhere.
"""

import ast
from pathlib import Path

import pytest

PROXY = Path(__file__).parents[2] / "retry_proxy"
WALL = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow")}
WALL |= {("date", "today"), ("time", "localtime"), ("time", "gmtime")}

# Function -> why the wall clock is right there.
ALLOWED = {
    "fleet/fleet.py": {
        "shared": "pauses travel between machines, whose other clocks share no zero",
        "hear": "the same, on arrival",
        "_tell_drafter": "an event's time stamp",
        "_tell": "an event's time stamp",
    },
    "stream/record.py": {"__init__": "time stamps; durations beside them are monotonic"},
    "app.py": {"_tell_unwatched": "an event's time stamp"},
    "stream/dispatch.py": {"_learn": "Retry-After may be a date; what follows from it is bounded"},
}


def wall_clock_readers(source: str) -> set[str]:
    """Innermost functions that read the wall clock, ``""`` for the module itself."""
    found = set()

    def visit(node: ast.AST, function: str) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = getattr(owner, "id", getattr(owner, "attr", ""))
            if (name, node.attr) in WALL:
                found.add(function)
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            found.update(alias.name for alias in node.names if alias.name.startswith("time"))
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(ast.parse(source), "")
    return found


def test_the_wall_clock_decides_nothing() -> None:
    found = {
        path.relative_to(PROXY).as_posix(): readers
        for path in sorted(PROXY.rglob("*.py"))
        if (readers := wall_clock_readers(path.read_text(encoding="utf-8")))
    }
    assert {name: set(reasons) for name, reasons in ALLOWED.items()} == found


@pytest.mark.parametrize("line", ["time.time()", "datetime.now()", "datetime.datetime.now(UTC)"])
def test_the_reader_sees_them(line: str) -> None:
    assert wall_clock_readers(f"def late():\n    return {line} > self.until\n") == {"late"}
    assert wall_clock_readers("def late():\n    return time.monotonic() > 3\n") == set()
