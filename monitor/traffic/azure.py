"""Azure's traces of 2023 and 2024: CSV with a time and two lengths. Pure."""

import csv
from collections.abc import Iterable
from datetime import UTC, datetime

from monitor.traffic.trace import Line, check_length

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


def is_header(first_line: str) -> bool:
    """The file's first line is the one of these traces."""
    return tuple(part.strip() for part in first_line.split(",")) == COLUMNS


def parse_row(row: str) -> Line:
    """One row after the header; ``timestamp`` is unix time, in milliseconds.

    Raises:
        ValueError: it is not one; the message says why.
    """
    cells = _cells(row)
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{len(cells)} columns instead of {len(COLUMNS)}; was the file cut off?")
    lengths = []
    for name, cell in zip(COLUMNS[1:], cells[1:], strict=True):
        if not (cell.isascii() and cell.isdigit()):
            raise ValueError(f"{name} must be a whole number, got {cell[:20]!r}")
        check_length(name, int(cell))
        lengths.append(int(cell))
    return Line(
        timestamp=_milliseconds(cells[0]),
        input_length=max(1, lengths[0]),  # the 2024 files have a few prompts of 0 tokens
        output_length=lengths[1],
    )


def _cells(row: str) -> list[str]:
    lines: Iterable[list[str]] = csv.reader([row])
    return [cell.strip() for cell in next(iter(lines), [])]


def _milliseconds(cell: str) -> float:
    """``2023-11-16 18:15:46.6805900`` has seven digits of a second, the 2024 files add a zone."""
    try:
        moment = datetime.fromisoformat(cell)
    except ValueError as error:
        raise ValueError(f"TIMESTAMP is no time: {cell[:40]!r}") from error
    return moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000
