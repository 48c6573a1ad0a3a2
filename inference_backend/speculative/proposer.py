"""Drafts the next tokens of every sequence, and keeps them until they are verified."""

from itertools import accumulate

import torch
from torch import Tensor

from inference_backend.engine.decode_inputs import DecodeInputs, PrefillInputs
from inference_backend.kv.attention import AttentionBackend, bind_all
from inference_backend.kv.group import Group
from inference_backend.kv.store import KvStore
from inference_backend.model.packed import fast_linear
from inference_backend.model.transformer import Transformer
from inference_backend.speculative.head_file import LoadedHead
from inference_backend.speculative.verify import DraftChoices, SamplingRows, draw, one_hot


class Proposer:
    """Runs the draft head in a chain, one token after the other.

    Attributes:
        tokens: ``[slots + 1, D]`` the drafts of each sequence by its slot; the last slot is
            scratch.
    """

    def __init__(
        self,
        model: Transformer,
        loaded: LoadedHead,
        store: KvStore,
        attention: AttentionBackend,
        num_drafts: int,
        max_running: int,
        vocabulary_size: int | None,
    ) -> None:
        self.model, self.head, self.store, self.attention = model, loaded.head, store, attention
        self.num_drafts = num_drafts
        self.vocabulary: Tensor | None = None
        matrix = model.output_matrix
        if vocabulary_size is not None and vocabulary_size < matrix.shape[0]:
            self.vocabulary = loaded.frequent_tokens[:vocabulary_size]
            matrix = matrix[self.vocabulary]
        self._unembed = fast_linear(matrix)
        size = (max_running + 1, num_drafts)
        self.tokens = torch.zeros(size, dtype=torch.long, device=store.device)
        self._index = torch.zeros_like(self.tokens)
        self._probabilities = torch.zeros((*size, matrix.shape[0]), device=store.device)

    def choices(self, slots: Tensor, temperature: Tensor) -> DraftChoices:
        """What was proposed for the sequences in ``slots [B]``.

        Greedy ones proposed their best guess for sure.
        """
        index, probabilities = self._index[slots], self._probabilities[slots]
        certain = one_hot(index.flatten(), probabilities.shape[-1]).view_as(probabilities)
        probabilities = torch.where(temperature[:, None, None] > 0, probabilities, certain)
        return DraftChoices(self.tokens[slots], probabilities, index, self.vocabulary)

    def propose_after_decode(
        self, inputs: DecodeInputs, hidden: Tensor, accepted: Tensor, tokens: Tensor
    ) -> None:
        """Reads the verified ``tokens [B, D + 1]`` and drafts on.

        ``hidden [B * (D + 1), hidden]`` is the target's, each row the one that precedes its token.
        Rows beyond ``accepted`` are computed and overwritten later.
        """
        group = inputs.group
        after = group.at(group.first + 1, group.width)
        out = self._read([after], hidden, tokens.flatten())
        row = torch.arange(accepted.shape[0], device=accepted.device)
        chosen = out[row * group.width + accepted]
        chain = group.at(after.first + accepted, 1)
        self._chain(chain, chosen, inputs.slots, inputs.rows, inputs.uniforms[:, group.width :])

    def propose_after_prefill(self, inputs: PrefillInputs, hidden: Tensor, sampled: Tensor) -> None:
        """Reads chunks of prompts, and drafts where a prompt ended and a token was sampled.

        ``hidden [N, hidden]`` is the target's for the chunks' tokens; ``sampled [E]`` follows them.
        """
        groups: list[Group] = []
        previous: list[Tensor] = []
        tokens: list[Tensor] = []
        sizes = [group.width for group in inputs.groups]
        pieces = zip(
            inputs.groups,
            torch.split(hidden, sizes),
            torch.split(inputs.token_ids, sizes),
            strict=True,
        )
        for index, (group, states, token_ids) in enumerate(pieces):
            tail = self.store.tail_hidden[inputs.before[index]][None]
            if index in inputs.ended:
                place = inputs.ended.index(index)
                groups.append(group.at(group.first, group.width + 1))
                previous += [tail, states]
                tokens += [token_ids, sampled[place : place + 1]]
            else:
                groups.append(group)
                previous += [tail, states[:-1]]
                tokens.append(token_ids)
        out = self._read(groups, torch.cat(previous), torch.cat(tokens))
        if inputs.ended:
            ends = list(accumulate(group.width for group in groups))
            rows = [ends[index] - 1 for index in inputs.ended]
            self._chain(inputs.after, out[rows], inputs.slots, inputs.rows, inputs.uniforms[:, 1:])

    def _read(self, groups: list[Group], previous: Tensor, token_ids: Tensor) -> Tensor:
        """The head over the rows of the groups ``[N, hidden]``."""
        positions = torch.cat([group.positions() for group in groups])
        embedded = self.model.embedding(token_ids)
        cosine, sine = self.model.rotary(positions)
        attend = bind_all(self.attention, groups)
        out: Tensor = self.head(previous, embedded, cosine, sine, attend)
        return out

    def _chain(
        self, at: Group, hidden: Tensor, slots: Tensor, rows: SamplingRows | None, drawn: Tensor
    ) -> None:
        """Drafts from ``hidden [B, hidden]``, the head's output for the token that is at ``at``."""
        for depth in range(self.num_drafts):
            index = self._choose(hidden, slots, rows, drawn[:, depth], depth)
            chosen = index if self.vocabulary is None else self.vocabulary[index]
            self._index[slots, depth] = index
            self.tokens[slots, depth] = chosen
            if depth + 1 < self.num_drafts:
                at = at.at(at.first + 1, 1)
                hidden = self._read([at], hidden, chosen)

    def _choose(
        self, hidden: Tensor, slots: Tensor, rows: SamplingRows | None, drawn: Tensor, depth: int
    ) -> Tensor:
        logits: Tensor = self._unembed(hidden).float()
        best = logits.argmax(-1)
        if rows is None:
            return best
        probabilities = (logits / rows.temperature.clamp(min=1e-5)[:, None]).softmax(-1)
        self._probabilities[slots, depth] = probabilities
        return torch.where(rows.temperature > 0, draw(probabilities, drawn), best)
