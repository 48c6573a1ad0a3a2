"""The launch wrapper on classes of the shape of SGLang's; it was never run on a live one."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from retry_proxy.engines.call import Route
from retry_proxy.engines.detect import build_adapter
from retry_proxy.engines.sglang_launch import UnknownShape, install
from tests.fakes.calls import STOCK, call_for


@dataclass
class State:
    out_list: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    ids: list[int] = field(default_factory=list)


@dataclass
class Batch:
    rids: list[str]
    completion_tokens: list[int]
    spec_verify_ct: list[int]
    spec_num_correct_drafts: list[int]
    finished: list[bool]


class Manager:
    """Fills the counters in when a request is finished, as stock SGLang does."""

    def __init__(self) -> None:
        self.rid_to_state: dict[str, State] = {}

    def _chunk(self, batch: Batch, index: int, state: State) -> dict[str, Any]:
        tokens = batch.completion_tokens[index]
        meta: dict[str, Any] = {"id": batch.rids[index], "completion_tokens": tokens}
        meta["finish_reason"] = {"type": "stop"} if batch.finished[index] else None
        if batch.finished[index]:
            self._calculate_spec_decoding_metrics(meta, batch, index)
        return {"text": "x" * tokens, "output_ids": list(range(tokens)), "meta_info": meta}

    def _calculate_spec_decoding_metrics(
        self, meta_info: dict[str, Any], batch: Batch, index: int
    ) -> None:
        assert "spec_verify_ct" not in meta_info, "filled in twice"
        steps, accepted = batch.spec_verify_ct[index], batch.spec_num_correct_drafts[index]
        meta_info["spec_verify_ct"] = steps
        meta_info["spec_num_correct_drafts"] = accepted
        meta_info["spec_num_proposed_drafts"] = 3 * steps


class OlderManager(Manager):
    def _handle_batch_output(self, batch: Batch) -> None:
        for index, rid in enumerate(batch.rids):
            if (state := self.rid_to_state.get(rid)) is not None:
                state.out_list.append(self._chunk(batch, index, state))


class NewerManager(Manager):
    async def _handle_batch_output(self, batch: Batch) -> None:
        for index, rid in enumerate(batch.rids):
            if (state := self.rid_to_state.get(rid)) is not None:
                state.out_list.append(self._chunk(batch, index, state))
                await asyncio.sleep(0)


def batch(tokens: int, steps: int, accepted: int, *, finished: bool = False) -> Batch:
    return Batch(["gone", "a"], [1, tokens], [0, steps], [0, accepted], [False, finished])


async def chunks_of(manager: Any) -> list[dict[str, Any]]:
    manager.rid_to_state["a"] = State()
    chunks: list[dict[str, Any]] = []
    for each in (
        batch(1, 0, 0),
        batch(4, 1, 2),
        batch(6, 2, 3),
        batch(7, 3, 3, finished=True),
    ):
        result = manager._handle_batch_output(each)
        if result is not None:
            await result
        chunks += manager.rid_to_state["a"].out_list
        manager.rid_to_state["a"].out_list = []  # as the request's reader does
    return chunks


@pytest.mark.parametrize("kind", [OlderManager, NewerManager])
async def test_every_chunk_has_the_counters_and_the_proxy_reads_them_live(
    kind: type[Manager],
) -> None:
    installed = type("Installed", (kind,), {})
    stock = await chunks_of(installed())
    assert ["spec_verify_ct" in chunk["meta_info"] for chunk in stock] == [False] * 3 + [True]
    install(installed)
    live = await chunks_of(installed())
    assert [chunk["meta_info"].get("spec_verify_ct") for chunk in live] == [None, 1, 2, 3]
    assert [chunk["text"] for chunk in live] == [chunk["text"] for chunk in stock]
    reader = build_adapter(STOCK).reader(call_for(Route.GENERATE))
    seen = [reader.read(chunk, b"").observation for chunk in live]
    assert [(one.steps, one.accepted) for one in seen[1:]] == [(1, 2), (1, 1), (1, 0)]
    assert not any(one.is_upper_bound for one in seen[1:])


async def test_without_speculation_nothing_is_filled_in() -> None:
    installed = type("Installed", (OlderManager,), {})
    install(installed)
    manager = installed()
    manager.rid_to_state["a"] = state = State()
    manager._handle_batch_output(Batch(["a"], [1], [], [], [False]))
    assert "spec_verify_ct" not in state.out_list[0]["meta_info"]


def test_another_shape_is_refused() -> None:
    with pytest.raises(UnknownShape, match="_handle_batch_output"):
        install(Manager)
    installed = type("Installed", (OlderManager,), {})
    install(installed)
    with pytest.raises(UnknownShape, match="already"):
        install(installed)
