"""SGLang's native stream says everything again in each chunk: held whole, it stays small."""

from itertools import chain
from typing import Any

import msgspec
import pytest

from retry_proxy.engines.adapter import Piece
from retry_proxy.engines.call import Route
from retry_proxy.engines.sglang_reader import GenerateReader
from retry_proxy.stream.generate_encoder import GenerateEncoder
from retry_proxy.stream.holdback import HoldBack
from tests.fakes.calls import INTEGRATED, call_for

CALL = call_for(Route.GENERATE)


def pieces(count: int, *, is_incremental: bool = False, start: int = 0) -> list[Piece]:
    """An answer of ``count`` tokens, one a chunk."""
    reader = GenerateReader(INTEGRATED)
    read = []
    for number in range(1, count + 1):
        first = number - 1 if is_incremental else 0
        words = [f" w{word}" for word in range(start + first, start + number)]
        ids = list(range(1000 + start + first, 1000 + start + number))
        meta = {"id": "a", "completion_tokens": number, "prompt_tokens": 3, "finish_reason": None}
        payload: dict[str, Any] = {"text": "".join(words), "output_ids": ids, "meta_info": meta}
        read.append(reader.read(payload, b"data: " + msgspec.json.encode(payload) + b"\n\n"))
    return read


def events(data: bytes) -> list[dict[str, Any]]:
    return [msgspec.json.decode(event[len(b"data: ") :]) for event in data.split(b"\n\n") if event]


def words(count: int) -> str:
    return "".join(f" w{number}" for number in range(count))


def held_bytes(count: int) -> int:
    hold = HoldBack()
    for piece in pieces(count):
        hold.hold(piece, 0.0)
    return sum(len(piece.raw) + len(msgspec.json.encode(piece.payload)) for piece in hold.held)


def test_what_is_held_grows_by_the_length_of_the_answer_not_by_its_square() -> None:
    assert held_bytes(400) < 5 * held_bytes(100)


def test_of_chunks_released_together_the_last_one_says_all() -> None:
    data = GenerateEncoder(CALL).encode(pieces(5))
    assert [event["text"] for event in events(data)] == [words(5)]


@pytest.mark.parametrize("is_incremental", [False, True])
def test_a_cut_and_continued_answer_is_one(is_incremental: bool) -> None:
    """A continuation of incremental chunks began with the whole text before it once more."""
    hold, encoder = HoldBack(), GenerateEncoder(CALL)
    hold.start_attempt()
    encoder.start_attempt(None)
    for piece in pieces(6, is_incremental=is_incremental):
        hold.hold(piece, 0.0)
    data = encoder.encode(hold.cut(4, 0.0))
    hold.start_attempt()
    encoder.start_attempt(hold.prefix())
    for piece in pieces(3, is_incremental=is_incremental, start=4):
        hold.hold(piece, 0.0)
        data += encoder.encode(hold.release(0.0))
    seen = events(data)
    texts = [event["text"] for event in seen]
    ids = [event["output_ids"] for event in seen]
    assert ("".join(texts) if is_incremental else texts[-1]) == words(7)
    all_ids = list(chain.from_iterable(ids)) if is_incremental else ids[-1]
    assert all_ids == list(range(1000, 1007))
    assert [event["meta_info"]["completion_tokens"] for event in seen][-4:] == [4, 5, 6, 7]
    whole = encoder.whole()
    assert (whole["text"], whole["output_ids"]) == (words(7), list(range(1000, 1007)))


def test_a_stop_string_that_the_engine_cut_off_stays_off() -> None:
    reader, encoder = GenerateReader(INTEGRATED), GenerateEncoder(CALL)
    for count, text in ((1, "Yes"), (2, "Yes EN"), (3, "Yes")):
        meta = {"id": "a", "completion_tokens": count}
        encoder.encode([reader.read({"text": text, "meta_info": meta}, b"x")])
    assert encoder.whole()["text"] == "Yes"
