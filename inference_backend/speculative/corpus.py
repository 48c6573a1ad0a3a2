"""Text for training a draft head, written by the target itself: prompts, then its answers.

No data set is needed. The chat template up to the user's turn makes an instruction-tuned model
write a user's turn (Magpie, arXiv 2406.08464); a few opening words give the prompts their variety.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference_backend.model.transformer import Transformer

BUCKET = 64
"""The cache is read in steps of this many columns, one CUDA graph each."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """Token sequences ``[count, length]``; a row's text ends at its ``lengths`` entry."""

    tokens: Tensor
    lengths: Tensor
    temperatures: Tensor

    def __len__(self) -> int:
        return int(self.tokens.shape[0])


class StaticDecoder:
    """Generates a rectangular batch, one column a step: nothing but throughput."""

    def __init__(self, model: Transformer, batch: int, length: int) -> None:
        shape, weight = model.shape, model.norm
        self.model, self.batch, self.length = model, batch, -(-length // BUCKET) * BUCKET
        self.device = weight.device
        size = (shape.num_layers, batch, shape.num_kv_heads, self.length, shape.head_dim)
        self.keys = torch.zeros(size, dtype=weight.dtype, device=self.device)
        self.values = torch.zeros_like(self.keys)
        self.column = torch.zeros(1, dtype=torch.long, device=self.device)
        self.current = torch.zeros(batch, dtype=torch.long, device=self.device)
        self.sampled = torch.zeros_like(self.current)
        self.temperatures = torch.ones(batch, device=self.device)
        self.graphs: dict[int, torch.cuda.CUDAGraph] = {}

    @torch.inference_mode()
    def generate(self, forced: Tensor, forced_lengths: Tensor, temperatures: Tensor) -> Tensor:
        """``forced [batch, n]`` opens each row up to its length; the rest is sampled.

        Returns ``[batch, length]``.

        A temperature of 0 means the most likely token.
        """
        tokens = torch.zeros(self.batch, self.length, dtype=torch.long, device=self.device)
        tokens[:, : forced.shape[1]] = forced
        self.temperatures.copy_(temperatures)
        for column in range(self.length - 1):
            self.column.fill_(column)
            self.current.copy_(tokens[:, column])
            self._run(-(-(column + 1) // BUCKET) * BUCKET)
            is_forced = forced_lengths > column + 1
            tokens[:, column + 1] = torch.where(is_forced, tokens[:, column + 1], self.sampled)
        return tokens

    def _run(self, width: int) -> None:
        if self.device.type != "cuda":
            self._step(width)
            return
        if width not in self.graphs:
            self._step(width)
            torch.cuda.synchronize()
            self.graphs[width] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graphs[width]):
                self._step(width)
        self.graphs[width].replay()

    def _step(self, width: int) -> None:
        def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            keys, values = self.keys[layer], self.values[layer]
            keys.index_copy_(2, self.column, key.unsqueeze(2))
            values.index_copy_(2, self.column, value.unsqueeze(2))
            grouped = query.view(query.shape[0], key.shape[1], -1, query.shape[2])
            scores = grouped @ keys[:, :, :width].transpose(2, 3) * query.shape[-1] ** -0.5
            future = torch.arange(width, device=self.device) > self.column
            weights = scores.masked_fill(future, float("-inf")).softmax(dim=-1)
            attended: Tensor = weights @ values[:, :, :width]
            return attended.flatten(1, 2)

        hidden = self.model(self.current, self.column.expand(self.batch), attend)
        logits = self.model.logits(hidden)
        hot = self.temperatures[:, None]
        # Gumbel-max: argmax(logits / T + noise); without the noise it is the most likely token.
        noise = -torch.empty_like(logits).exponential_().log()
        scaled = torch.where(hot > 0, logits / hot.clamp(min=1e-3) + noise, logits)
        self.sampled.copy_(scaled.argmax(dim=-1))


def row_lengths(tokens: Tensor, starts: Tensor, end_token: int) -> Tensor:
    """Length of each row: up to and including the first ``end_token`` at or after its start."""
    columns = torch.arange(tokens.shape[1], device=tokens.device)
    is_end = (tokens == end_token) & (columns >= starts[:, None])
    first = torch.where(is_end, columns, tokens.shape[1] - 1).min(dim=1).values
    return first + 1


def pad(rows: list[list[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of token ids -> ``[count, longest]`` filled with zeros, and their lengths."""
    lengths = torch.tensor([len(row) for row in rows], device=device)
    padded = [functional.pad(torch.tensor(row), (0, int(lengths.max()) - len(row))) for row in rows]
    return torch.stack(padded).to(device), lengths


def write_prompts(
    decoder: StaticDecoder, openings: list[list[int]], end_token: int, temperature: float
) -> list[list[int]]:
    """Lets the model finish the user's turns that ``openings`` begin.

    One prompt a row, its end token included.

    Rows that do not end in time are cut off at the decoder's length.
    """
    forced, lengths = pad(openings, decoder.device)
    hot = torch.full((decoder.batch,), temperature, device=decoder.device)
    tokens = decoder.generate(forced, lengths, hot)
    ends = row_lengths(tokens, lengths, end_token).tolist()
    rows = tokens.tolist()
    return [[*row[: end - 1], end_token] for row, end in zip(rows, ends, strict=True)]


def write_answers(
    decoder: StaticDecoder, prompts: list[list[int]], temperatures: Tensor, end_token: int
) -> Corpus:
    """Lets the model answer each prompt (token ids that end where the answer begins)."""
    forced, lengths = pad(prompts, decoder.device)
    tokens = decoder.generate(forced, lengths, temperatures)
    return Corpus(tokens, row_lengths(tokens, lengths, end_token), temperatures)


def batches(
    corpus: Corpus, rows: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless shuffled batches of ``(tokens [rows, length], lengths [rows])``."""
    while True:
        order = torch.randperm(len(corpus), generator=generator).to(corpus.tokens.device)
        for start in range(0, len(corpus) - rows + 1, rows):
            chosen = order[start : start + rows]
            yield corpus.tokens[chosen].long(), corpus.lengths[chosen]
