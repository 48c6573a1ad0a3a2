"""CUDA graphs of the decoding step: one launch instead of about a thousand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from inference_backend.engine.decode_inputs import DecodeInputs
from inference_backend.kv.group import Group
from inference_backend.speculative.verify import SamplingRows

Step = Callable[[DecodeInputs], tuple[Tensor, Tensor]]
BATCH_SIZES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


@dataclass(frozen=True, slots=True)
class _Captured:
    """A graph with the tensors that it reads and writes."""

    graph: torch.cuda.CUDAGraph
    inputs: DecodeInputs
    accepted: Tensor
    tokens: Tensor


class GraphedDecode:
    """Replays the decoding step from graphs.

    One is captured when a batch size and way of sampling first occur.

    Padding rows belong to ``scratch_slot`` and write to page 0.
    """

    def __init__(self, step: Step, scratch_slot: int, max_pages: int) -> None:
        self._step, self._scratch_slot, self._max_pages = step, scratch_slot, max_pages
        self._captured: dict[tuple[int, str], _Captured] = {}
        self._pool: Any = None  # torch's own handle of the memory that all graphs share

    def run(self, inputs: DecodeInputs) -> tuple[Tensor, Tensor]:
        """The same as ``step(inputs)``."""
        count = inputs.last.shape[0]
        size = next(size for size in BATCH_SIZES if size >= count)
        key = (size, _mode(inputs.rows))
        if key not in self._captured:
            self._captured[key] = self._capture(size, inputs)
        captured = self._captured[key]
        _fill(captured.inputs, inputs, count, self._scratch_slot)
        captured.graph.replay()
        if inputs.group.flags is not None and captured.inputs.group.flags is not None:
            inputs.group.flags.copy_(captured.inputs.group.flags[:count])
        return captured.accepted[:count], captured.tokens[:count]

    def _capture(self, size: int, like: DecodeInputs) -> _Captured:
        """Captures with padding rows only: nothing of a running sequence is touched."""
        inputs = self._static_inputs(size, like)
        stream: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):  # kernels are compiled and workspaces made outside the capture
                self._step(inputs)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Only this thread's calls are part of it: another engine may be at work in this process.
        mode = "thread_local"
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode=mode):
            accepted, tokens = self._step(inputs)
        self._pool = graph.pool()
        return _Captured(graph, inputs, accepted, tokens)

    def _static_inputs(self, size: int, like: DecodeInputs) -> DecodeInputs:
        device = like.last.device
        rows = like.rows
        if rows is not None:
            rows = SamplingRows(
                torch.zeros(size, device=device, dtype=rows.temperature.dtype),
                torch.ones(size, device=device, dtype=rows.top_p.dtype),
                torch.ones(size, device=device, dtype=rows.top_k.dtype),
                rows.is_filtered,
            )
        zeros = torch.zeros(size, dtype=torch.long, device=device)
        table = torch.zeros(size, self._max_pages, dtype=torch.long, device=device)
        return DecodeInputs(
            slots=torch.full_like(zeros, self._scratch_slot),
            last=zeros.clone(),
            group=self._static_group(table, zeros.clone(), like.group),
            rows=rows,
            uniforms=torch.zeros(size, like.uniforms.shape[1], device=device),
        )

    def _static_group(self, table: Tensor, first: Tensor, like: Group) -> Group:
        if like.expected is None:
            return Group(table, first, like.width)
        flags = torch.zeros(table.shape[0], dtype=torch.int32, device=table.device)
        return Group(table, first, like.width, torch.zeros_like(table), flags)


def _mode(rows: SamplingRows | None) -> str:
    if rows is None:
        return "greedy"
    return "filtered" if rows.is_filtered else "plain"


def _fill(static: DecodeInputs, inputs: DecodeInputs, count: int, scratch_slot: int) -> None:
    """Copies a batch into a graph's tensors and makes the rest padding.

    Padding rows get page 0 everywhere: with small pages their drafts reach into a second page,
    which would else be the one that an earlier, larger batch had there.
    """
    static.slots[count:] = scratch_slot
    static.group.first[count:] = 0
    static.group.page_table[count:] = 0
    pairs = [
        (static.slots, inputs.slots),
        (static.last, inputs.last),
        (static.group.first, inputs.group.first),
        (static.uniforms, inputs.uniforms),
    ]
    if static.rows is not None and inputs.rows is not None:
        static.rows.temperature[count:] = 0
        pairs += [
            (static.rows.temperature, inputs.rows.temperature),
            (static.rows.top_p, inputs.rows.top_p),
            (static.rows.top_k, inputs.rows.top_k),
        ]
    for target, source in pairs:
        target[:count].copy_(source)
    table = inputs.group.page_table
    static.group.page_table[:count, : table.shape[1]].copy_(table)
    if static.group.expected is not None and inputs.group.expected is not None:
        assert static.group.flags is not None
        static.group.expected[count:] = 0
        static.group.expected[:count, : table.shape[1]].copy_(inputs.group.expected)
        static.group.flags.zero_()
