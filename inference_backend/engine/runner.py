"""Computes a step's plan: verification steps, prompts, first tokens. Decides nothing."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from inference_backend.engine.decode import DecodeStep
from inference_backend.engine.decode_inputs import DecodeInputs
from inference_backend.engine.page_tables import PageTables
from inference_backend.engine.sampling import sampling_rows, uniforms
from inference_backend.engine.scheduler import Chunk, StepPlan
from inference_backend.engine.sequence import Sequence
from inference_backend.kv.attention import Group
from inference_backend.speculative.verify import distribution, draw


@dataclass(frozen=True, slots=True)
class Emitted:
    """Tokens of one sequence from one step; ``accepted`` is ``None`` if no drafts were verified."""

    sequence: Sequence
    tokens: list[int]
    accepted: int | None


class Runner:
    """Turns sequences into tensors, has them computed, and reads the tokens back.

    Args:
        step: the models, the cache's tensors and one verification step over them.
        run_step: how the step is run: itself, or from CUDA graphs.
    """

    def __init__(
        self,
        step: DecodeStep,
        tables: PageTables,
        run_step: Callable[[DecodeInputs], tuple[Tensor, Tensor]],
    ) -> None:
        self.model, self.store, self.attention = step.model, step.store, step.attention
        self.proposer = step.proposer
        self.device = self.store.device
        self.num_drafts = self.proposer.num_drafts if self.proposer else 0
        self._tables, self.run_step = tables, run_step

    @torch.inference_mode()
    def run(self, plan: StepPlan) -> list[Emitted]:
        """Computes all of the plan."""
        emitted = self._decode(plan.decodes) if plan.decodes else []
        for chunk in plan.chunks:
            emitted += self._prefill(chunk)
        return emitted

    def _decode(self, sequences: list[Sequence]) -> list[Emitted]:
        accepted, tokens = self.run_step(self._decode_inputs(sequences))
        # One copy to the host: the only wait for the device in a step.
        outcomes = torch.cat([accepted[:, None], tokens], dim=1).tolist()
        verified = self.num_drafts > 0
        return [
            Emitted(sequence, row[1 : row[0] + 2], row[0] if verified else None)
            for sequence, row in zip(sequences, outcomes, strict=True)
        ]

    def _decode_inputs(self, sequences: list[Sequence]) -> DecodeInputs:
        rows = sampling_rows(sequences, self.model.shape.vocab_size, self.device)
        count = 2 * self.num_drafts + 1
        drawn = torch.zeros(len(sequences), count, device=self.device)
        if rows is not None:
            drawn = uniforms(sequences, count, self.device)
        return DecodeInputs(
            slots=torch.tensor([s.slot for s in sequences], device=self.device),
            last=torch.tensor([s.tokens[-1] for s in sequences], device=self.device),
            group=self._group(sequences, [s.num_computed for s in sequences], self.num_drafts + 1),
            rows=rows,
            uniforms=drawn,
        )

    def _group(self, sequences: list[Sequence], first: list[int], width: int) -> Group:
        table = torch.from_numpy(self._tables.rows(sequences)).to(self.device)
        return Group(table, torch.tensor(first, device=self.device), width)

    def _prefill(self, chunk: Chunk) -> list[Emitted]:
        sequence = chunk.sequence
        group = self._group([sequence], [chunk.start], chunk.end - chunk.start)
        token_ids = torch.tensor(sequence.tokens[chunk.start : chunk.end], device=self.device)
        positions = group.positions()
        hidden = self.model(token_ids, positions, self.attention.bind(group))
        self.store.keep_tails(hidden, group.pages(positions, self.store.page_size), positions)
        sampled = self._sample_first(sequence, hidden[-1:]) if chunk.is_last else None
        if self.proposer is not None:
            self.proposer.propose_after_prefill(sequence, group, hidden, token_ids, sampled)
        return [] if sampled is None else [Emitted(sequence, sampled.tolist(), None)]

    def _sample_first(self, sequence: Sequence, hidden: Tensor) -> Tensor:
        logits = self.model.logits(hidden)
        rows = sampling_rows([sequence], self.model.shape.vocab_size, self.device)
        if rows is None:
            return logits.argmax(-1)
        return draw(distribution(logits, rows), uniforms([sequence], 1, self.device)[:, 0])
