"""Reads recordings from files. The only part of the offline commands that opens them."""

import codecs
import gzip
import io
import itertools
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from monitor.offline.errors import BadRecording
from monitor.offline.recording import Recording, problem

STDIN = "-"
_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_DECODER = msgspec.json.Decoder(Recording)
_BROKEN = (OSError, EOFError, zlib.error)


def read_recordings(names: Sequence[str], stdin: BinaryIO | None = None) -> Iterator[Recording]:
    """Every record of the files, in order; ``-`` is standard input.

    ``.jsonl`` and ``.jsonl.gz`` have a record a line. Any other file is one record of plain text.
    Standard input is taken for JSON lines if its first character is ``{``.

    Raises:
        BadRecording: a file cannot be read, or a line is no record. The message says where.
    """
    for name in names:
        with _renamed(name):
            if name == STDIN:
                yield from _from_stdin(sys.stdin.buffer if stdin is None else stdin)
            elif name.endswith(_LINES):
                with _opened(Path(name)) as lines:
                    yield from _lines(lines, name)
            else:
                with _opened(Path(name)) as file:
                    yield _plain(file.read(), name)


def size_of(names: Sequence[str]) -> int | None:
    """Bytes of all files as they lie on the disk, ``None`` where one cannot be measured."""
    try:
        return sum(Path(name).stat().st_size for name in names)
    except OSError:
        return None


def count_records(names: Sequence[str]) -> int | None:
    """Lines of all files, a text counting as one; ``None`` where it cannot be told beforehand."""
    total = 0
    try:
        for name in names:
            if not name.endswith(_LINES):
                total += 1
                continue
            with _opened(Path(name)) as lines:
                total += sum(1 for _ in lines)
    except (*_BROKEN, BadRecording):
        return None  # reading it will tell what is wrong
    return None if STDIN in names else total


@contextmanager
def _renamed(name: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadRecording(f"{name}: cannot be read ({reason})") from error


def _opened(path: Path) -> BinaryIO:
    if path.is_dir():
        raise BadRecording(f"{path}: is a folder; name the files in it, as {path}/*.jsonl")
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]


def _from_stdin(stdin: BinaryIO) -> Iterator[Recording]:
    content = io.BufferedReader(stdin) if isinstance(stdin, io.RawIOBase) else stdin
    first = content.readline()
    while first and not first.strip():
        first = content.readline()
    if first.lstrip().startswith(b"{"):
        yield from _lines(content, "stdin", first)
    elif first:
        yield _plain(first + content.read(), "stdin")


def _lines(lines: BinaryIO, name: str, first: bytes = b"") -> Iterator[Recording]:
    """``first``: the first line, where it was read already."""
    for number, line in enumerate(itertools.chain([first] if first else [], lines), start=1):
        content = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
        if content.strip():
            yield parse_line(content, name, number)


def parse_line(line: bytes | str, name: str, number: int) -> Recording:
    """One line of JSON.

    Raises:
        BadRecording: with file, line number and what to do.
    """
    try:
        record = _DECODER.decode(line)
    except msgspec.ValidationError as error:
        raise BadRecording(f"{name}:{number}: {error}; see `specwatch scan --help`") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRecording(
            f"{name}:{number}: not JSON ({error}); a .jsonl file has one JSON object a line"
        ) from error
    wrong = problem(record)
    if wrong is not None:
        raise BadRecording(f"{name}:{number}: {wrong}")
    record_id = f"{name}:{number}" if record.id is None else record.id
    return msgspec.structs.replace(record, id=record_id, file=name)


def _plain(content: bytes, name: str) -> Recording:
    if b"\x00" in content:
        raise BadRecording(f"{name}: is binary; plain text, .jsonl or .jsonl.gz can be read")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRecording(
            f"{name}: is not UTF-8 at byte {error.start}; convert it first (iconv -t utf-8)"
        ) from error
    return Recording(id=name, text=text, file=name)
