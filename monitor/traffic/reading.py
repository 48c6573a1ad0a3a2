"""Reads traces from files and tells their formats apart by content."""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from monitor.traffic import azure
from monitor.traffic.errors import BadTrace
from monitor.traffic.trace import Line, TraceRequest, parse_line, requests_of

_BROKEN = (OSError, EOFError, zlib.error)
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_LONGEST_LINE = 16 * 1024 * 1024  # a million tokens have 2,000 block ids


def read_trace(names: Sequence[str]) -> list[TraceRequest]:
    """The requests of all files as one trace, by their arrival, the first at 0.

    Mooncake's JSON lines, specwatch's own (which are Mooncake's with more fields) and Azure's CSV,
    each perhaps gzipped.

    Raises:
        BadTrace: a file cannot be read, a line is no request, or there is none at all.
    """
    lines = [line for name in names for line in read_lines(name)]
    if not lines:
        raise BadTrace(f"{', '.join(names)}: empty: no request to replay")
    return requests_of(lines)


def read_lines(name: str) -> Iterator[Line]:
    """The lines of one file, in its order.

    Raises:
        BadTrace: see ``read_trace``; the message has the line's number.
    """
    try:
        with _opened(Path(name)) as file:
            yield from _parsed(file, name)
    except _BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadTrace(f"{name}: cannot be read ({reason})") from error


def _opened(path: Path) -> BinaryIO:
    if path.is_dir():
        raise BadTrace(f"{path}: is a folder; name the files in it")
    with path.open("rb") as file:
        is_gzipped = file.read(2) == _GZIP
    return gzip.open(path, "rb") if is_gzipped else path.open("rb")  # type: ignore[return-value]


def _parsed(file: BinaryIO, name: str) -> Iterator[Line]:
    is_csv = False
    number = 0
    try:
        while content := file.readline(_LONGEST_LINE):
            number += 1
            content = content.removeprefix(_BOM) if number == 1 else content
            if not content.strip():
                continue
            if number == 1 and azure.is_header(content.decode("utf-8", "replace")):
                is_csv = True
                continue
            yield azure.parse_row(content.decode("utf-8")) if is_csv else parse_line(content)
    except EOFError as error:
        raise BadTrace(f"{name}:{number + 1}: the gzipped file was cut off here") from error
    except ValueError as error:
        hint = "" if is_csv or number > 1 else _HINT
        raise BadTrace(f"{name}:{number}: {error}{hint}") from error


_HINT = (
    "; a trace is JSON lines with timestamp, input_length, output_length and hash_ids (Mooncake, "
    f"specwatch), or CSV with the header {','.join(azure.COLUMNS)} (Azure)"
)
