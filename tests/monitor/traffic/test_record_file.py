"""A file that stays within its bound."""

import gzip
from pathlib import Path

import pytest

from monitor.traffic.record_file import RecordFile


def test_full_files_are_renamed_and_the_oldest_deleted(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    file = RecordFile(path, max_bytes=20, kept=2)
    for number in range(8):
        file.write(b"line-%d-xx" % number)  # ten bytes with the break
    file.close()
    assert {each.name for each in tmp_path.iterdir()} == {
        "trace.jsonl",
        "trace.jsonl.1",
        "trace.jsonl.2",
    }
    assert path.read_bytes() == b"line-6-xx\nline-7-xx\n"
    assert (tmp_path / "trace.jsonl.2").read_bytes() == b"line-2-xx\nline-3-xx\n"


def test_a_recording_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text("old\n")
    file = RecordFile(path, max_bytes=100, kept=3)
    file.write(b"new")
    file.flush()
    assert (path.read_text(), (tmp_path / "trace.jsonl.1").read_text()) == ("new\n", "old\n")
    file.close()


def test_a_line_over_the_bound_has_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    file = RecordFile(path, max_bytes=4, kept=1)
    file.write(b"much too long")
    file.close()
    assert path.read_bytes() == b"much too long\n"


def test_gzipped_and_readable_after_a_flush(tmp_path: Path) -> None:
    """Also before the file is ended: a proxy may be killed."""
    path = tmp_path / "trace.jsonl.gz"
    file = RecordFile(path, max_bytes=10_000, kept=1)
    file.write(b"line")
    file.flush()
    with gzip.open(path) as seen:
        assert seen.readline() == b"line\n"
    file.close()
    assert gzip.decompress(path.read_bytes()) == b"line\n"


@pytest.mark.parametrize("name", ["full", "full.gz"])
def test_a_full_disk_is_an_error_and_the_end_is_none(tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to("/dev/full")
    file = RecordFile(tmp_path / name, max_bytes=10_000, kept=1)
    with pytest.raises(OSError, match="No space left"):
        _write_much(file)
    file.close()
    assert Path("/dev/full").is_char_device()


def _write_much(file: RecordFile) -> None:
    for number in range(100_000):
        file.write(b"%d" % (number * number))
        file.flush()
