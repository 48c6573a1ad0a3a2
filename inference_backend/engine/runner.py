"""Computes a step's plan: verification steps, prompts, first tokens. Decides nothing."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from itertools import accumulate, chain

import torch
from torch import Tensor

from inference_backend.engine.decode import DecodeStep
from inference_backend.engine.decode_inputs import DecodeInputs, PrefillInputs
from inference_backend.engine.page_tables import PageTables
from inference_backend.engine.sampling import sampling_rows, uniforms
from inference_backend.engine.scheduler import Chunk, StepPlan
from inference_backend.engine.sequence import Sequence
from inference_backend.kv.attention import bind_all
from inference_backend.kv.group import Group
from inference_backend.kv.page_check import check_end
from inference_backend.model.transformer import Attend
from inference_backend.speculative.verify import SamplingRows, distribution, draw


@dataclass(frozen=True, slots=True)
class Emitted:
    """Tokens of one sequence from one step; ``accepted`` is ``None`` if no drafts were verified."""

    sequence: Sequence
    tokens: list[int]
    accepted: int | None


@dataclass(frozen=True, slots=True)
class StepResult:
    """What came out of one step.

    Attributes:
        flagged: sequences that read a page which was not what they rely on.
    """

    emitted: list[Emitted]
    flagged: list[Sequence]


OnLayer = Callable[[int, list[Chunk]], None]
"""Called when a layer of these chunks is in the cache; the draft head's layer is the last."""


RunPrompts = Callable[[PrefillInputs, Tensor, list[Chunk]], Tensor]
"""``(inputs, positions [N], chunks) -> states [N, hidden]``: the target over chunks of prompts."""


Reading = Callable[[list[Chunk]], AbstractContextManager[None]]
"""Entered around the pass over these chunks, whose pages may still be on their way."""


class Runner:
    """Turns sequences into tensors, has them computed, and reads the tokens back.

    Args:
        step: the models, the cache's tensors and one verification step over them.
        run_step: how the step is run: itself, or from CUDA graphs.
        is_checked: attention compares the tags of what it reads (the sanitizer is on).
    """

    def __init__(
        self,
        step: DecodeStep,
        tables: PageTables,
        run_step: Callable[[DecodeInputs], tuple[Tensor, Tensor]],
        *,
        is_checked: bool = False,
    ) -> None:
        self.model, self.store, self.attention = step.model, step.store, step.attention
        self.proposer = step.proposer
        self.device = self.store.device
        self.num_drafts = self.proposer.num_drafts if self.proposer else 0
        self._tables, self.run_step, self.is_checked = tables, run_step, is_checked
        self.on_layer: OnLayer | None = None
        self.run_prompts: RunPrompts = self._run_prompts
        self.reading: Reading = lambda _: contextlib.nullcontext()

    @torch.inference_mode()
    def run(self, plan: StepPlan) -> StepResult:
        """Computes all of the plan."""
        result = StepResult([], [])
        if plan.decodes:
            self._decode(plan.decodes, result)
        if plan.chunks:
            with self.reading(plan.chunks):
                self._prefill(plan.chunks, result)
        return result

    def _decode(self, sequences: list[Sequence], result: StepResult) -> None:
        inputs = self._decode_inputs(sequences)
        accepted, tokens = self.run_step(inputs)
        columns = [accepted[:, None], tokens]
        if inputs.group.flags is not None:
            columns.append(inputs.group.flags[:, None])
        # One copy to the host: the only wait for the device in a step.
        outcomes = torch.cat(columns, dim=1).tolist()
        verified = self.num_drafts > 0
        for sequence, row in zip(sequences, outcomes, strict=True):
            result.emitted.append(
                Emitted(sequence, row[1 : row[0] + 2], row[0] if verified else None)
            )
            if self.is_checked and row[-1]:
                result.flagged.append(sequence)

    def _decode_inputs(self, sequences: list[Sequence]) -> DecodeInputs:
        rows, drawn = self._sampling(sequences, 2 * self.num_drafts + 1)
        return DecodeInputs(
            slots=self._tensor([s.slot for s in sequences]),
            last=self._tensor([s.tokens[-1] for s in sequences]),
            group=self._group(sequences, [s.num_computed for s in sequences], self.num_drafts + 1),
            rows=rows,
            uniforms=drawn,
        )

    def _sampling(
        self, sequences: list[Sequence], count: int
    ) -> tuple[SamplingRows | None, Tensor]:
        """Sampling parameters, and ``count`` random numbers for each sequence (zeros if greedy)."""
        rows = sampling_rows(sequences, self.model.shape.vocab_size, self.device)
        if rows is None:
            return None, torch.zeros(len(sequences), count, device=self.device)
        return rows, uniforms(sequences, count, self.device)

    def _tensor(self, numbers: list[int | None]) -> Tensor:
        return torch.tensor(numbers, dtype=torch.long, device=self.device)

    def _group(self, sequences: list[Sequence], first: list[int], width: int) -> Group:
        table = torch.from_numpy(self._tables.rows(sequences)).to(self.device)
        group = Group(table, torch.tensor(first, dtype=torch.long, device=self.device), width)
        if not self.is_checked:
            return group
        expected = torch.from_numpy(self._tables.expected(sequences)).to(self.device)
        flags = torch.zeros(len(first), dtype=torch.int32, device=self.device)
        return replace(group, expected=expected, flags=flags)

    def _prefill(self, chunks: list[Chunk], result: StepResult) -> None:
        """One pass over all chunks: the weights are read once."""
        inputs = self._prefill_inputs(chunks)
        positions = torch.cat([group.positions() for group in inputs.groups])
        size = self.store.page_size
        pages = torch.cat([group.pages(group.positions(), size) for group in inputs.groups])
        hidden = self.run_prompts(inputs, positions, chunks)
        self.store.keep_tails(hidden, pages, positions)
        ends = list(accumulate(group.width for group in inputs.groups))
        sampled = self._sample_first(hidden[[ends[index] - 1 for index in inputs.ended]], inputs)
        if self.proposer is not None:
            self.proposer.propose_after_prefill(inputs, hidden, sampled)
        for group in inputs.groups:
            check_end(self.store, group, has_drafts=self.proposer is not None)
        if self.on_layer is not None:
            self.on_layer(self.model.shape.num_layers, chunks)
        tokens, flags = self._read_back(sampled, inputs)
        result.emitted.extend(
            Emitted(chunks[index].sequence, [token], None)
            for index, token in zip(inputs.ended, tokens, strict=True)
        )
        result.flagged.extend(
            chunk.sequence for chunk, is_flagged in zip(chunks, flags, strict=True) if is_flagged
        )

    def _run_prompts(self, inputs: PrefillInputs, positions: Tensor, chunks: list[Chunk]) -> Tensor:
        attend = self._told(bind_all(self.attention, inputs.groups), chunks)
        states: Tensor = self.model(inputs.token_ids, positions, attend)
        return states

    def _told(self, attend: Attend, chunks: list[Chunk]) -> Attend:
        """The same, and ``on_layer`` hears of each layer as soon as it is in the cache."""
        on_layer = self.on_layer
        if on_layer is None:
            return attend

        def attend_and_tell(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            attended = attend(layer, query, key, value)
            on_layer(layer, chunks)
            return attended

        return attend_and_tell

    def _read_back(self, sampled: Tensor, inputs: PrefillInputs) -> tuple[list[int], list[bool]]:
        """Sampled tokens, and which chunks read wrong pages, in one copy to the host."""
        count = len(inputs.groups)
        if not self.is_checked:
            return sampled.tolist(), [False] * count
        flags = [group.flags for group in inputs.groups if group.flags is not None]
        assert inputs.after.flags is not None
        numbers = torch.cat([sampled, *flags, inputs.after.flags]).tolist()
        wrong = [bool(number) for number in numbers[len(sampled) :]]
        for place, index in enumerate(inputs.ended):  # drafting on is a pass of its own
            wrong[index] |= wrong[count + place]
        return numbers[: len(sampled)], wrong[:count]

    def _prefill_inputs(self, chunks: list[Chunk]) -> PrefillInputs:
        ended = [index for index, chunk in enumerate(chunks) if chunk.is_last]
        finished = [chunks[index].sequence for index in ended]
        rows, drawn = self._sampling(finished, self.num_drafts + 1)
        tokens = [chunk.sequence.tokens[chunk.start : chunk.end] for chunk in chunks]
        return PrefillInputs(
            token_ids=self._tensor(list(chain.from_iterable(tokens))),
            groups=[self._group([c.sequence], [c.start], c.end - c.start) for c in chunks],
            before=[self._page_before(chunk) for chunk in chunks],
            ended=ended,
            slots=self._tensor([sequence.slot for sequence in finished]),
            after=self._group(finished, [chunks[index].end for index in ended], 1),
            rows=rows,
            uniforms=drawn,
        )

    def _page_before(self, chunk: Chunk) -> int:
        """Chunks begin at page borders: the page that ends just before, 0 if there is none."""
        assert chunk.sequence.lease is not None
        index = chunk.start // self.store.page_size
        return chunk.sequence.lease.pages[index - 1] if index > 0 else 0

    def _sample_first(self, hidden: Tensor, inputs: PrefillInputs) -> Tensor:
        """First tokens ``[E]`` from the hidden states ``[E, hidden]`` of the prompts' ends."""
        if not inputs.ended:
            return inputs.slots
        logits = self.model.logits(hidden)
        if inputs.rows is None:
            return logits.argmax(-1)
        return draw(distribution(logits, inputs.rows), inputs.uniforms[:, 0])
