"""Adapters: what they ask for, and what they read from bytes of real engines."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from retry_proxy.engines.adapter import (
    ChunkReader,
    EngineAdapter,
    EngineProfile,
    Piece,
    Totals,
)
from retry_proxy.engines.call import Route
from retry_proxy.engines.detect import build_adapter
from retry_proxy.errors import EngineReportedError, MalformedStream
from retry_proxy.stream.sse import SseParser
from tests.fakes.calls import INTEGRATED, STOCK, call_for

DATA = Path(__file__).parent.parent / "data" / "engines"


def read_file(
    name: str, adapter: EngineAdapter, route: Route
) -> tuple[list[Piece], Totals, ChunkReader]:
    reader = adapter.reader(call_for(route))
    pieces = []
    for event in SseParser(1_000_000).feed((DATA / name).read_bytes()):
        assert event.data is not None
        if event.data != b"[DONE]":
            pieces.append(reader.read(msgspec.json.decode(event.data), event.raw))
    totals = Totals()
    for piece in pieces:
        totals.add(piece)
    return pieces, totals, reader


def native(tokens: int, text: str, finish: object = None, **counters: Any) -> dict[str, Any]:
    meta = {"id": "r", "finish_reason": finish, "completion_tokens": tokens, **counters}
    return {"text": text, "output_ids": list(range(tokens)), "meta_info": meta}


# real bytes


def test_sglang_native_stream() -> None:
    profile = EngineProfile("sglang")  # speculation was off
    pieces, totals, _ = read_file(
        "sglang-0.5.23-generate.sse", build_adapter(profile), Route.GENERATE
    )
    assert "".join(piece.text for piece in pieces).startswith(" had a special")
    assert (totals.tokens, totals.steps, totals.drafted) == (48, None, None)
    assert [piece.is_finish for piece in pieces] == [False] * 7 + [True]
    ids = [token for piece in pieces for token in piece.token_ids or ()]
    assert len(ids) == 48
    assert ids[:3] == [761, 253, 1767]
    assert pieces[0].prompt_tokens == 10


@pytest.mark.parametrize(
    ("name", "route", "text"),
    [
        ("sglang-0.5.23-chat-continue.sse", Route.CHAT, " Paris."),
        ("sglang-0.5.23-completions.sse", Route.COMPLETIONS, " had a special ability to"),
    ],
)
def test_sglang_openai_streams(name: str, route: Route, text: str) -> None:
    pieces, totals, _ = read_file(name, build_adapter(EngineProfile("sglang")), route)
    assert "".join(piece.text for piece in pieces).startswith(text)
    assert sum(piece.is_finish for piece in pieces) == 1
    assert totals.steps is None


def test_vllm_chat_steps_are_the_engines_own() -> None:
    profile = EngineProfile("vllm", is_speculating=True)
    pieces, totals, reader = read_file(
        "vllm-0.32.0-draft-chat-ids.sse", build_adapter(profile), Route.CHAT
    )
    assert "".join(piece.text for piece in pieces) == "The quick brown fox jumps over lazy dog."
    assert (totals.tokens, totals.steps, totals.drafted) == (10, 4, None)
    assert all(piece.observation.is_upper_bound for piece in pieces if piece.observation.steps)
    final = reader.final
    assert final is not None
    assert (final.steps, final.drafted, final.accepted) == (4, 16, 8)
    assert pieces[0].prompt_token_ids is not None
    assert len(pieces[0].prompt_token_ids) == 46


def test_vllm_completions_tell_prompt_and_token_ids() -> None:
    profile = EngineProfile("vllm", is_speculating=True)
    pieces, totals, reader = read_file(
        "vllm-0.32.0-draft-completions-ids.sse", build_adapter(profile), Route.COMPLETIONS
    )
    assert pieces[0].prompt_token_ids is not None
    assert totals.tokens == sum(len(piece.token_ids or ()) for piece in pieces)
    assert reader.final is not None
    assert totals.steps == reader.final.steps


def test_llamacpp_counters_are_live_and_need_the_text_to_agree() -> None:
    pieces, totals, _ = read_file(
        "llamacpp-b11434-draft-chat.sse", build_adapter(EngineProfile("llamacpp")), Route.CHAT
    )
    assert (totals.tokens, totals.drafted, totals.accepted) == (18, 20, 12)
    assert totals.steps == 5  # 18 tokens = 1 from prefill + 12 accepted + 5 bonus
    assert any(piece.observation.is_upper_bound for piece in pieces)


def test_openai_reads_text_only() -> None:
    pieces, totals, _ = read_file(
        "llamacpp-b11434-draft-completions.sse",
        build_adapter(EngineProfile("openai")),
        Route.COMPLETIONS,
    )
    assert totals.steps is None
    assert all(piece.observation.steps is None for piece in pieces)


# counters through the generations of field names


@pytest.mark.parametrize(
    "names",
    [
        {"spec_num_correct_drafts": 4, "spec_num_proposed_drafts": 6},
        {"spec_accepted_drafts": 4, "spec_proposed_drafts": 6},
        {"spec_accept_token_num": 4, "spec_draft_token_num": 6},
        {"spec_accept_rate": 4 / 6, "spec_accept_length": 3.5},
    ],
    ids=["0.5.12+", "aliases", "0.5.9", "0.5.5"],
)
def test_live_counters_of_every_generation(names: dict[str, Any]) -> None:
    reader = build_adapter(INTEGRATED).reader(call_for(Route.GENERATE))
    reader.read(native(1, "a"), b"")
    seen = reader.read(native(7, "abc", spec_verify_ct=2, **names), b"").observation
    assert (seen.new_tokens, seen.steps, seen.drafted, seen.accepted) == (6, 2, 6, 4)
    assert not seen.is_upper_bound


def test_a_patched_sglang_is_read_live_from_its_second_chunk() -> None:
    reader = build_adapter(STOCK).reader(call_for(Route.GENERATE))
    counters = {"spec_num_correct_drafts": 1, "spec_num_proposed_drafts": 3}
    first = reader.read(native(1, "a"), b"").observation
    second = reader.read(native(3, "ab", spec_verify_ct=1, **counters), b"").observation
    assert (first.steps, second.steps, second.accepted) == (0, 1, 1)
    assert not second.is_upper_bound


def test_stock_sglang_is_derived_and_its_last_chunk_is_exact() -> None:
    reader = build_adapter(STOCK).reader(call_for(Route.GENERATE))
    reader.read(native(1, "a"), b"")
    merged = reader.read(native(8, "ab"), b"").observation  # 7 tokens: at least 2 steps of 4
    assert (merged.steps, merged.accepted, merged.drafted) == (2, 5, 6)
    assert merged.is_upper_bound
    counters = {"spec_num_correct_drafts": 5, "spec_num_proposed_drafts": 9, "spec_verify_ct": 3}
    reader.read(native(9, "abc", {"type": "stop"}, **counters), b"")
    assert reader.final is not None
    assert (reader.final.steps, reader.final.accepted) == (3, 5)


def test_sglang_without_speculation_tells_no_acceptance() -> None:
    reader = build_adapter(EngineProfile("sglang")).reader(call_for(Route.GENERATE))
    for tokens in range(1, 20):
        seen = reader.read(native(tokens, "a" * tokens), b"").observation
        assert (seen.steps, seen.drafted) == (None, None)


def test_incremental_streaming_output_is_recognised() -> None:
    reader = build_adapter(STOCK).reader(call_for(Route.GENERATE))
    first = {"text": "ab", "output_ids": [1], "meta_info": {"completion_tokens": 1}}
    second = {"text": "cd", "output_ids": [2, 3], "meta_info": {"completion_tokens": 3}}
    pieces = [reader.read(first, b""), reader.read(second, b"")]
    assert [piece.text for piece in pieces] == ["ab", "cd"]
    assert [piece.token_ids for piece in pieces] == [(1,), (2, 3)]


# what goes wrong


@pytest.mark.parametrize(
    "payload",
    [
        [],
        "text",
        {},
        {"text": 5, "meta_info": {}},
        {"text": "a", "meta_info": []},
        {"text": "a", "meta_info": {"completion_tokens": "many"}},
        {"text": "a", "output_ids": 7, "meta_info": {}},
    ],
)
def test_native_chunks_of_a_wrong_shape_are_malformed(payload: Any) -> None:
    with pytest.raises(MalformedStream):
        build_adapter(STOCK).reader(call_for(Route.GENERATE)).read(payload, b"")


@pytest.mark.parametrize("name", ["sglang", "vllm", "llamacpp", "openai"])
@pytest.mark.parametrize(
    "payload",
    [
        [],
        {},
        {"choices": 5},
        {"choices": [5]},
        {"choices": [{"index": 0}]},
        {"choices": [{"delta": {"content": 5}}]},
        {"choices": [{"delta": {"content": "a"}}], "usage": {"completion_tokens": "x"}},
    ],
)
def test_openai_chunks_of_a_wrong_shape_are_malformed(name: str, payload: Any) -> None:
    with pytest.raises(MalformedStream):
        build_adapter(EngineProfile(name)).reader(call_for(Route.CHAT)).read(payload, b"")


@pytest.mark.parametrize(
    "payload",
    [
        {"error": {"message": "x", "code": 500}},
        {"error": "plain"},
        {"choices": [{"delta": {}, "finish_reason": "abort"}]},
        {"choices": [{"delta": {}, "finish_reason": "error"}]},
    ],
)
def test_errors_in_the_stream_are_the_engines(payload: Any) -> None:
    with pytest.raises(EngineReportedError):
        build_adapter(STOCK).reader(call_for(Route.CHAT)).read(payload, b"")
