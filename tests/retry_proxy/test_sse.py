"""SSE framing gives the same events whatever the network does to the bytes."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retry_proxy.errors import MalformedStream
from retry_proxy.stream.sse import SseParser, data_event

LIMIT = 10_000


def parse(chunks: list[bytes], limit: int = LIMIT) -> tuple[list[bytes | None], bytes, bool]:
    parser = SseParser(limit)
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    raw = b"".join(event.raw for event in events)
    return [event.data for event in events], raw, parser.has_rest


line = st.binary(max_size=20).map(lambda text: text.replace(b"\r", b"").replace(b"\n", b""))
block = st.tuples(
    st.lists(
        st.one_of(line.map(lambda x: b"data: " + x), line.map(lambda x: b":" + x)), min_size=1
    ),
    st.sampled_from([b"\n", b"\r\n"]),
).map(lambda made: made[1].join(made[0]) + made[1] * 2)


@given(st.lists(block, max_size=6), st.lists(st.integers(0, 400), max_size=12))
def test_any_chunking_gives_the_same_events(blocks: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(blocks)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[a:b] for a, b in itertools.pairwise(edges)]
    bytewise = [stream[index : index + 1] for index in range(len(stream))]
    whole = parse([stream])
    assert parse(chunks) == whole == parse(bytewise)
    assert len(whole[0]) == len(blocks)
    assert whole[1] == stream, "raw bytes must add up to the stream"


def test_data_lines_are_joined_and_one_space_is_dropped() -> None:
    assert parse([b"data:  a\ndata:b\n\n"])[0] == [b" a\nb"]


def test_comments_and_empty_lines_carry_no_data() -> None:
    assert parse([b"\n\n: keep-alive\n\n\r\n\r\n", data_event(b"x")])[0] == [None, b"x"]


def test_known_fields_beside_data_are_fine() -> None:
    assert parse([b"event: message\nid: 1\nretry: 5\ndata: x\n\n"])[0] == [b"x"]


def test_an_unfinished_event_is_told() -> None:
    assert parse([b"data: x\n\ndata: ha"])[2]
    assert not parse([b"data: x\n\n"])[2]


@pytest.mark.parametrize("junk", [b"<html>oops</html>\n\n", b'{"json": 1}\n\n'])
def test_a_line_that_is_no_field_is_malformed(junk: bytes) -> None:
    with pytest.raises(MalformedStream):
        parse([junk])


@pytest.mark.parametrize("chunks", [[b"data: " + b"x" * 200], [b"data: " + b"x" * 200 + b"\n\n"]])
def test_an_event_over_the_limit_is_malformed(chunks: list[bytes]) -> None:
    with pytest.raises(MalformedStream):
        parse(chunks, limit=100)


def test_many_small_events_in_one_chunk_are_under_the_limit() -> None:
    assert len(parse([data_event(b"x" * 50) * 100], limit=100)[0]) == 100


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=8))
def test_any_bytes_give_the_same_events_or_the_same_refusal(stream: bytes, cuts: list[int]) -> None:
    """Whatever a replica sends; only the reader's own error comes out."""

    def outcome(chunks: list[bytes]) -> tuple[list[bytes | None], bool] | None:
        try:
            events, _, has_rest = parse(chunks, limit=200)
        except MalformedStream:
            return None
        return events, has_rest

    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    chunks = [stream[a:b] for a, b in itertools.pairwise(edges)]
    bytewise = [stream[index : index + 1] for index in range(len(stream))]
    assert outcome(chunks) == outcome([stream]) == outcome(bytewise)
