"""A file of lines that never grows over its bound: full ones are renamed, the oldest are deleted.

Used by one thread.
"""

import gzip
from pathlib import Path
from typing import BinaryIO, cast


class RecordFile:
    """``trace.jsonl``, and before it ``trace.jsonl.1`` (newer) to ``trace.jsonl.N`` (older).

    A file that is there already is kept as ``.1``: two recordings are never mixed. Gzipped if the
    name ends in ``.gz``.

    Args:
        max_bytes: of each file, as it lies on the disk.
        kept: how many full ones stay.

    Raises:
        OSError: it cannot be written; so do all methods but ``close``.
    """

    def __init__(self, path: Path, max_bytes: int, kept: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._raw: BinaryIO | None = None
        self._packed: gzip.GzipFile | None = None
        self._open()

    def write(self, line: bytes) -> None:
        """Adds a line; a line break follows it."""
        assert self._raw is not None, "written after its end"
        size = self._raw.tell()
        if size > 0 and size + len(line) + 1 > self._max_bytes:
            self._end()
            self._open()
        cast("BinaryIO", self._packed or self._raw).write(line + b"\n")

    def flush(self) -> None:
        """What was written so far can be read from the disk."""
        if self._packed is not None:
            self._packed.flush()
        if self._raw is not None:
            self._raw.flush()

    def close(self) -> None:
        """Never raises: after a full disk there is nothing that could be done."""
        try:
            self._end()
        except OSError:
            if self._raw is not None:
                self._abandon(self._raw)
        self._raw = self._packed = None

    def _open(self) -> None:
        if self._path.is_file():  # a device or a pipe is never renamed
            self._rotate()
        self._raw = self._path.open("wb")
        if self._path.suffix == ".gz":
            self._packed = gzip.GzipFile(fileobj=self._raw, mode="wb", compresslevel=6)

    def _end(self) -> None:
        if self._packed is not None:
            self._packed.close()
        if self._raw is not None:
            self._raw.close()

    def _rotate(self) -> None:
        self._numbered(self._kept).unlink(missing_ok=True)
        for number in range(self._kept - 1, 0, -1):
            if self._numbered(number).exists():
                self._numbered(number).rename(self._numbered(number + 1))
        self._path.rename(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    @staticmethod
    def _abandon(raw: BinaryIO) -> None:
        try:
            raw.close()
        except OSError:
            return  # the descriptor is closed all the same
