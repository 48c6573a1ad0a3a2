"""Computes a step's plan: the target's forward pass, verification, and the next drafts. Decides nothing."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inference_backend.engine.sampling import sampling_rows, uniforms
from inference_backend.engine.scheduler import Chunk, StepPlan
from inference_backend.engine.sequence import Sequence
from inference_backend.kv.attention import AttentionBackend, Group
from inference_backend.kv.store import KvStore
from inference_backend.model.transformer import Transformer
from inference_backend.speculative.proposer import Proposer
from inference_backend.speculative.verify import (
    SamplingRows,
    distribution,
    draw,
    verify,
    verify_greedy,
)


@dataclass(frozen=True, slots=True)
class Emitted:
    """Tokens of one sequence from one step; ``accepted`` is ``None`` if no drafts were verified."""

    sequence: Sequence
    tokens: list[int]
    accepted: int | None


@dataclass(frozen=True, slots=True)
class DecodeInputs:
    """Everything a decoding step reads, as tensors of the device.

    Attributes:
        slots: ``[B]`` rows of the proposer's per-sequence tensors.
        last: ``[B]`` each sequence's last token, not yet computed.
        group: pages, position of ``last``; width is drafts + 1.
        rows: sampling parameters, ``None`` for a greedy batch.
        uniforms: ``[B, 2 * drafts + 1]``: for verification, for the token after it, and for the next drafts.
    """

    slots: Tensor
    last: Tensor
    group: Group
    rows: SamplingRows | None
    uniforms: Tensor


class Runner:
    """Owns the models and the cache's tensors.

    Args:
        proposer: makes drafts; ``None`` switches speculation off.
    """

    def __init__(
        self,
        model: Transformer,
        store: KvStore,
        attention: AttentionBackend,
        proposer: Proposer | None,
    ) -> None:
        self.model, self.store, self.attention, self.proposer = model, store, attention, proposer
        self.device = store.device
        self.num_drafts = proposer.num_drafts if proposer else 0

    @torch.inference_mode()
    def run(self, plan: StepPlan) -> list[Emitted]:
        """Computes all of the plan."""
        emitted = self._decode(plan.decodes) if plan.decodes else []
        for chunk in plan.chunks:
            emitted += self._prefill(chunk)
        return emitted

    def _decode(self, sequences: list[Sequence]) -> list[Emitted]:
        inputs = self._decode_inputs(sequences)
        accepted, tokens = self.decode_step(inputs)
        outcomes = zip(sequences, accepted.tolist(), tokens.tolist(), strict=True)
        verified = self.num_drafts > 0
        return [
            Emitted(sequence, row[: count + 1], count if verified else None)
            for sequence, count, row in outcomes
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
        leases = [s.lease.pages for s in sequences if s.lease is not None]
        longest = max(len(pages) for pages in leases)
        table = [pages + [0] * (longest - len(pages)) for pages in leases]
        return Group(
            torch.tensor(table, device=self.device), torch.tensor(first, device=self.device), width
        )

    def decode_step(self, inputs: DecodeInputs) -> tuple[Tensor, Tensor]:
        """One verification step of a batch, tensors only (it can be captured in a CUDA graph).

        Returns ``accepted [B]`` and ``tokens [B, drafts + 1]``; the first ``accepted + 1`` of a row count.
        """
        group, proposer = inputs.group, self.proposer
        token_ids = inputs.last[:, None]
        if proposer is not None:
            token_ids = torch.cat([token_ids, proposer.tokens[inputs.slots]], dim=1)
        positions = group.positions()
        hidden = self.model(token_ids.flatten(), positions, self.attention.bind(group))
        self._keep_tails(hidden, group, positions)
        logits = self.model.logits(hidden).unflatten(0, (-1, group.width))
        accepted, tokens = self._verify(logits, inputs)
        if proposer is not None:
            proposer.propose_after_decode(inputs, hidden, accepted, tokens)
        return accepted, tokens

    def _verify(self, logits: Tensor, inputs: DecodeInputs) -> tuple[Tensor, Tensor]:
        if inputs.rows is None:
            best = logits.argmax(-1)
            drafts = best[:, :0] if self.proposer is None else self.proposer.tokens[inputs.slots]
            return verify_greedy(best, drafts)
        target = distribution(logits.flatten(0, 1), inputs.rows.repeat(inputs.group.width))
        target = target.unflatten(0, (-1, inputs.group.width))
        if self.proposer is None:
            return torch.zeros_like(inputs.last), draw(target[:, 0], inputs.uniforms[:, 0])[:, None]
        choices = self.proposer.choices(inputs.slots, inputs.rows.temperature)
        return verify(target, choices, inputs.uniforms[:, : inputs.group.width])

    def _prefill(self, chunk: Chunk) -> list[Emitted]:
        sequence = chunk.sequence
        group = self._group([sequence], [chunk.start], chunk.end - chunk.start)
        token_ids = torch.tensor(sequence.tokens[chunk.start : chunk.end], device=self.device)
        positions = group.positions()
        hidden = self.model(token_ids, positions, self.attention.bind(group))
        self._keep_tails(hidden, group, positions)
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

    def _keep_tails(self, hidden: Tensor, group: Group, positions: Tensor) -> None:
        """Keeps the hidden state at the last position of every page."""
        size = self.store.page_size
        is_tail = positions % size == size - 1
        junk = self.store.tail_hidden.shape[0] - 1
        rows = torch.where(is_tail, group.pages(positions, size), junk)
        self.store.tail_hidden[rows] = hidden
