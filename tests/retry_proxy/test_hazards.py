"""The table of hazards names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
TABLE = (TESTS / "retry_proxy" / "HAZARDS.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (?!hazard |---)(.+?) \| (.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`([\w/.]+\.py)::(\w+)`")


def test_every_named_test_exists() -> None:
    named = NAMED.findall(TABLE)
    missing = [
        f"{file}::{name}"
        for file, name in named
        if not re.search(
            rf"^(?:(?:async )?def {name}\(|{name} = )",
            (TESTS / file).read_text(encoding="utf-8") if (TESTS / file).exists() else "",
            re.MULTILINE,
        )
    ]
    assert len(named) > 30
    assert missing == []


def test_every_row_names_a_test_or_says_that_there_is_none() -> None:
    rows = ROW.findall(TABLE)
    assert len(rows) >= 24
    silent = [hazard for hazard, cell in rows if "none here" not in cell and "::" not in cell]
    assert silent == []
