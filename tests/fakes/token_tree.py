"""A target small enough to know the probability of every answer, and a test of those that came."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inference_backend.speculative.verify import (
    DraftChoices,
    SamplingRows,
    distribution,
    draw,
)


@dataclass(frozen=True)
class Settings:
    """How the target samples; the drafts are drawn at the same temperature, unfiltered."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None
    draft_vocabulary: tuple[int, ...] | None = None

    def rows(self, count: int, vocab: int) -> SamplingRows:
        top_k = self.top_k or vocab
        return SamplingRows(
            torch.full((count,), self.temperature),
            torch.full((count,), self.top_p),
            torch.full((count,), top_k),
            is_filtered=self.top_p < 1 or top_k < vocab,
        )


class TokenTree:
    """Random logits after every prefix of up to two tokens, and a draft model that roughly agrees.

    Attributes:
        target: probabilities of the first token ``[V]``, the second ``[V, V]``, the third
            ``[V, V, V]``, each given those before.
        draft: the drafts' probabilities for the first two, over the draft vocabulary.
    """

    def __init__(self, settings: Settings, vocab: int = 6, seed: int = 0) -> None:
        source = torch.Generator().manual_seed(seed)
        self.vocab = vocab
        chosen = settings.draft_vocabulary
        self.draft_vocabulary = None if chosen is None else torch.tensor(chosen)
        self.target: list[Tensor] = []
        self.draft: list[Tensor] = []
        for depth in range(3):
            shape = (vocab,) * (depth + 1)
            logits = torch.randn(shape, generator=source) * 1.2
            flat = logits.view(-1, vocab)
            rows = settings.rows(flat.shape[0], vocab)
            self.target.append(distribution(flat, rows).view(shape))
            guess = logits + torch.randn(shape, generator=source)
            if self.draft_vocabulary is not None:
                guess = guess[..., self.draft_vocabulary]
            self.draft.append((guess / settings.temperature).softmax(-1))

    def joint(self) -> Tensor:
        """Probability of each answer of three tokens ``[V * V * V]``."""
        first, second, third = self.target
        return (first[:, None, None] * second[:, :, None] * third).flatten()

    def propose(self, count: int, source: torch.Generator) -> DraftChoices:
        """Two drafts for each of ``count`` rows."""
        index, tokens, probabilities = [], [], []
        at: tuple[Tensor, ...] = ()
        for depth in range(2):
            offered = self.draft[depth][at] if at else self.draft[0].expand(count, -1)
            place = draw(offered, torch.rand(count, generator=source))
            token = place if self.draft_vocabulary is None else self.draft_vocabulary[place]
            index.append(place)
            tokens.append(token)
            probabilities.append(offered)
            at = (*at, token)
        return DraftChoices(
            torch.stack(tokens, 1),
            torch.stack(probabilities, 1),
            torch.stack(index, 1),
            self.draft_vocabulary,
        )

    def after(self, drafts: Tensor) -> Tensor:
        """The target's probabilities ``[B, 3, V]`` after nothing, one and two drafts."""
        first, second = drafts.unbind(1)
        rows = [self.target[0].expand(len(first), -1), self.target[1][first]]
        return torch.stack([*rows, self.target[2][first, second]], 1)

    def complete(self, accepted: Tensor, tokens: Tensor, source: torch.Generator) -> Tensor:
        """Draws what is missing to three tokens from the target: ``[B, 3]``."""
        tokens = tokens.clone()
        for depth in (1, 2):
            at = tuple(tokens[:, place] for place in range(depth))
            drawn = draw(self.target[depth][at], torch.rand(len(tokens), generator=source))
            tokens[:, depth] = torch.where(accepted < depth, drawn, tokens[:, depth])
        return tokens

    def number(self, tokens: Tensor) -> Tensor:
        """Index into ``joint`` of answers ``[B, 3]``."""
        return (tokens[:, 0] * self.vocab + tokens[:, 1]) * self.vocab + tokens[:, 2]


def p_value(counts: Tensor, probabilities: Tensor) -> float:
    """Pearson's chi-square test. Answers that cannot be must not occur; rare ones are pooled."""
    total = counts.sum()
    if counts[probabilities == 0].sum() > 0:
        return 0.0
    expected = (probabilities.double() / probabilities.double().sum()) * total
    is_rare = expected < 5
    seen = torch.cat([counts[~is_rare].double(), counts[is_rare].double().sum()[None]])
    wanted = torch.cat([expected[~is_rare], expected[is_rare].sum()[None]])
    keep = wanted > 0
    statistic = ((seen[keep] - wanted[keep]) ** 2 / wanted[keep]).sum()
    degrees = torch.tensor((int(keep.sum()) - 1) / 2, dtype=torch.double)
    return float(torch.special.gammaincc(degrees, statistic / 2))
