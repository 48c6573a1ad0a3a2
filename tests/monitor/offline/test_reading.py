"""Reading recordings: every ugly input ends in one clear line, every good one in a record."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from monitor.offline.errors import BadRecording
from monitor.offline.reading import count_records, read_recordings
from monitor.offline.recording import Recording


def read(path: Path) -> list[Recording]:
    return list(read_recordings([str(path)]))


def write_lines(path: Path, *records: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"id": "a", "text": ', "not JSON"),
        ("[1, 2]", "Expected `object`"),
        ('"text"', "Expected `object`"),
        ('{"id": "a"}', "neither text, token_ids nor accepted_per_step"),
        ('{"text": 5}', "$.text"),
        ('{"id": [], "text": "x"}', "$.id"),
        ('{"text": "x", "token_ids": "abc"}', "$.token_ids"),
        ('{"text": "x", "token_ids": [1, -2]}', "$.token_ids"),
        ('{"text": "x", "accepted_per_step": [1, 2.5]}', "$.accepted_per_step"),
        ('{"text": "x", "accepted_per_step": [1], "drafted_per_step": [3, 3]}', "equally many"),
        ('{"text": "x", "drafted_per_step": [3]}', "without accepted_per_step"),
        ('{"token_ids": [1, 2], "tokens_per_event": [1, 2]}', "sums to 3"),
        ('{"text": "abc", "chars_per_event": [1, 1]}', "sums to 2"),
        ('{"token_ids": [5], "chars_per_event": [1]}', "without text"),
        (
            '{"text": "abc", "tokens_per_event": [1, 1], "chars_per_event": [3]}',
            "chars_per_event has 1 entries, tokens_per_event 2",
        ),
        ('{"token_ids": [5, 6], "logprobs": [-0.1]}', "logprobs has 1 entries, tokens 2"),
        ('{"text": "x", "onset_token": -1}', "$.onset_token"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, line: str, told: str) -> None:
    """The good record before it is still given."""
    path = tmp_path / "some.jsonl"
    path.write_text('{"id": "first", "text": "fine"}\n\n' + line + "\n", encoding="utf-8")
    found = read_recordings([str(path)])
    assert next(found).id == "first"
    with pytest.raises(BadRecording) as raised:
        next(found)
    assert str(raised.value).startswith(f"{path}:3: ")
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", b"abc\x00def", "binary"),
        ("a.txt", b"caf\xe9", "not UTF-8 at byte 3"),
        ("a.jsonl", b'{"text": "\xff"}', "a.jsonl:1"),
        ("a.jsonl", b"\x00\x01\x02", "not JSON"),
        ("a.jsonl.gz", b'{"text": "not zipped"}', "cannot be read"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "cut"}\n' * 99, mtime=0)[:-12], "cannot be read"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    """Binary, another encoding, a zip that is none or was cut."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadRecording, match=told):
        read(path)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(BadRecording, match="No such file"):
        read(tmp_path / "none.jsonl")
    with pytest.raises(BadRecording, match="is a folder; name the files"):
        read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n\n  \n"])
def test_an_empty_file_has_no_record(tmp_path: Path, content: bytes) -> None:
    """That is no error."""
    path = tmp_path / "empty.jsonl"
    path.write_bytes(content)
    assert read(path) == []


def test_unknown_fields_are_ignored_and_known_ones_read(tmp_path: Path) -> None:
    """A byte order mark, Windows line ends and a missing id are no problem."""
    path = tmp_path / "some.jsonl"
    line = {"text": "hé", "strange": {"a": 1}, "tokens_per_event": [1, 2], "model": None}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(line).encode() + b'\r\n{"id":7,"text":""}\r\n')
    first, second = read(path)
    assert first == Recording(id=f"{path}:1", text="hé", tokens_per_event=(1, 2), file=str(path))
    assert second.id == 7


def test_zipped_lines_are_read_as_the_plain_ones(tmp_path: Path) -> None:
    """Only the name tells them apart."""
    plain = write_lines(tmp_path / "a.jsonl", {"id": "a", "token_ids": [1, 2]}, {"text": "b"})
    zipped = tmp_path / "a.jsonl.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    texts = [(record.text, record.token_ids) for record in read(plain)]
    assert texts == [(record.text, record.token_ids) for record in read(zipped)]


def test_any_other_file_is_one_text(tmp_path: Path) -> None:
    """Its name is its id."""
    path = tmp_path / "answer.md"
    path.write_text("# One\n{not json\n", encoding="utf-8")
    assert read(path) == [Recording(id=str(path), text="# One\n{not json\n", file=str(path))]


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b'{"text": "a"}\n{"text": "b"}\n', ["a", "b"]),
        (b'\n{"text": "a"}', ["a"]),
        (b"just a text\nof two lines", ["just a text\nof two lines"]),
        (b"", []),
    ],
)
def test_standard_input_is_lines_or_text(content: bytes, texts: list[str]) -> None:
    """Told apart by the first character."""
    found = read_recordings(["-"], io.BytesIO(content))
    assert [record.text for record in found] == texts


@pytest.mark.parametrize(
    ("fields", "is_damaged"),
    [
        ({"fault": "none"}, False),
        ({"fault": "noise"}, False),  # its onset was not reached
        ({"fault": "noise", "onset_token": 3}, True),
        ({"label": "good"}, False),
        ({"label": "repetition"}, True),
        ({}, False),
    ],
)
def test_what_counts_as_damaged(fields: dict[str, Any], is_damaged: bool) -> None:
    """Fault with onset, or a bad label."""
    assert Recording(text="x", **fields).is_damaged is is_damaged


def test_records_are_counted_for_the_bar(tmp_path: Path) -> None:
    """Without reading them; where it cannot be told, nobody guesses."""
    lines = str(write_lines(tmp_path / "a.jsonl", {"text": "a"}, {"text": "b"}))
    assert count_records([lines, "answer.txt"]) == 3
    assert count_records([lines, "-"]) is None
    assert count_records([str(tmp_path / "none.jsonl")]) is None
