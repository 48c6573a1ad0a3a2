"""Traces of three formats, and what is wrong with files that are none."""

import gzip
from pathlib import Path

import pytest

from monitor.traffic.errors import BadTrace
from monitor.traffic.reading import read_trace

MOONCAKE = (
    '{"timestamp": 0, "input_length": 1030, "output_length": 52, "hash_ids": [0, 1, 2]}\n'
    '{"timestamp": 2500, "input_length": 600, "output_length": 3, "hash_ids": [0, 3]}\n'
)
AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2023-11-16 18:15:46.6805900,374,44\r\n"
    "2023-11-16 18:15:50.9951690,396,109\r\n"
)


def write(folder: Path, content: str | bytes, name: str = "trace.jsonl") -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_mooncake(tmp_path: Path) -> None:
    first, second = read_trace([write(tmp_path, MOONCAKE)])
    assert (first.at_seconds, first.input_tokens, first.output_tokens) == (0.0, 1030, 52)
    assert (second.at_seconds, second.blocks, second.block_tokens) == (2.5, (0, 3), 512)
    assert second.sampling == {}


def test_azure(tmp_path: Path) -> None:
    """Seven digits of a second, and lines that end as on Windows."""
    first, second = read_trace([write(tmp_path, AZURE, "trace.csv")])
    assert (first.input_tokens, first.output_tokens, first.blocks) == (374, 44, ())
    assert second.at_seconds == pytest.approx(4.314579, abs=1e-5)


def test_azure_of_2024_has_time_zones_and_prompts_of_nothing(tmp_path: Path) -> None:
    rows = "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 00:00:00.009930+00:00,0,5\n"
    assert read_trace([write(tmp_path, rows)])[0].input_tokens == 1


def test_our_own_with_its_sampling(tmp_path: Path) -> None:
    line = (
        '{"timestamp":5,"input_length":9,"output_length":2,"hash_ids":[7],"started_at":100.5,'
        '"sampling":{"temperature":0.7,"top_p":1},"outcome":"clean","verdict":"garbled"}\n'
    )
    (request,) = read_trace([write(tmp_path, line)])
    assert request.sampling == {"temperature": 0.7, "top_p": 1}
    assert request.record is not None
    assert request.record.verdict == "garbled"


def test_gzip_is_known_by_content_and_blank_lines_and_a_bom_are_skipped(tmp_path: Path) -> None:
    content = b"\xef\xbb\xbf" + MOONCAKE.replace("\n", "\n\n").encode()
    assert len(read_trace([write(tmp_path, gzip.compress(content), "trace.jsonl.1")])) == 2


def test_lines_come_in_the_order_of_their_arrival(tmp_path: Path) -> None:
    """A recording is in the order in which requests ended."""
    lines = MOONCAKE.splitlines(keepends=True)
    requests = read_trace([write(tmp_path, "".join(reversed(lines)))])
    assert [request.at_seconds for request in requests] == [0.0, 2.5]


def test_two_proxies_are_joined_by_the_clock(tmp_path: Path) -> None:
    """Their timestamps begin anew, the clock does not."""
    line = '{"timestamp":0,"input_length":1,"output_length":1,"started_at":%s}\n'
    names = [write(tmp_path, line % clock, f"{clock}.jsonl") for clock in (103.0, 100.0)]
    assert [request.at_seconds for request in read_trace(names)] == [0.0, 3.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "empty"),
        (MOONCAKE[:-20], r"trace\.jsonl:2: not JSON .*cut off"),
        (MOONCAKE + '{"text": "hello"}\n', r"trace\.jsonl:3: .*missing required field"),
        ("hello\n", r"trace\.jsonl:1: not JSON .*Mooncake.*Azure"),
        ("[1, 2]\n", r"trace\.jsonl:1: not a request"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", r"trace\.jsonl:1: "),
        (MOONCAKE.replace("52", "-1"), r"trace\.jsonl:1: output_length must be between"),
        (MOONCAKE.replace("1030", "0"), r"trace\.jsonl:1: input_length must be at least 1"),
        (MOONCAKE.replace("600", "999999999999"), r"trace\.jsonl:2: input_length must be"),
        (MOONCAKE.replace("2500", '"soon"'), r"trace\.jsonl:2: .*timestamp"),
        (MOONCAKE.replace("[0, 3]", '["secret"]'), r"trace\.jsonl:2: .*hash_ids"),
        (AZURE[:-6], r"trace\.jsonl:3: 2 columns instead of 3; was the file cut off"),
        (AZURE.replace("396", "many"), r"trace\.jsonl:3: ContextTokens must be a whole number"),
        (AZURE.replace("2023-11-16 18:15:50", "noon"), r"trace\.jsonl:3: TIMESTAMP is no time"),
        ("a,b,c\n1,2,3\n", r"trace\.jsonl:1: not JSON"),
        (
            gzip.compress(MOONCAKE.encode() * 50)[:-12],
            r"trace\.jsonl:\d+: the gzipped file was cut",
        ),
    ],
)
def test_bad_files(tmp_path: Path, content: str | bytes, message: str) -> None:
    """The error names the file, the line and what to do."""
    with pytest.raises(BadTrace, match=message):
        read_trace([write(tmp_path, content)])


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(BadTrace, match="is a folder"):
        read_trace([str(tmp_path)])
    with pytest.raises(BadTrace, match=r"no\.jsonl: cannot be read \(No such file"):
        read_trace([str(tmp_path / "no.jsonl")])
