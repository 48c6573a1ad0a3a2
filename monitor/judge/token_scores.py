"""How surprising each token of a text was to a language model. Pure functions of its logits."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TokenScores:
    """One entry per token of the text, in order.

    Attributes:
        surprisals: negative log-likelihoods given all earlier tokens, in nats.
        ranks: how many tokens of the vocabulary the model held for more likely; 0 is its favourite.
    """

    surprisals: tuple[float, ...]
    ranks: tuple[int, ...]


def score_tokens(logits: Tensor, token_ids: Tensor) -> TokenScores:
    """Scores tokens against the logits that predicted them.

    Args:
        logits: float [tokens, vocabulary]; row i was computed from what stands before token i.
        token_ids: integer [tokens].
    """
    logits = logits.float()
    chosen = logits.gather(1, token_ids[:, None])  # [tokens, 1]
    surprisals = torch.logsumexp(logits, dim=1) - chosen[:, 0]
    ranks = (logits > chosen).sum(dim=1)
    return TokenScores(tuple(surprisals.tolist()), tuple(ranks.tolist()))
