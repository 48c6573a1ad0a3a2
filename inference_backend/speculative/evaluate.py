"""How many tokens a step a draft head gives, worked out on text that the target wrote."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference_backend.model.transformer import Transformer
from inference_backend.speculative.head import DraftHead
from inference_backend.speculative.unroll import target_hidden, unrolled


@torch.inference_mode()
def acceptance(
    model: Transformer, head: DraftHead, tokens: Tensor, drafts: int, temperature: float
) -> NDArray[np.float32]:
    """Probability that draft ``k`` at position ``i`` is accepted: ``[drafts, rows, length]``.

    At temperature 0 it is 0 or 1: whether the two most likely tokens agree.
    """
    hidden = target_hidden(model, tokens)
    outputs = unrolled(model, head, tokens, hidden, drafts)
    rates = torch.empty(drafts, *tokens.shape)
    for row in range(tokens.shape[0]):
        target = model.logits(hidden[row])
        for step, output in enumerate(outputs):
            draft = model.logits(output[row])
            if temperature == 0:
                rate = (draft.argmax(-1) == target.argmax(-1)).float()
            else:
                cooled = [(logits / temperature).softmax(-1) for logits in (target, draft)]
                rate = torch.minimum(*cooled).sum(-1)
            rates[step, row] = rate.cpu()
    return rates.numpy()


def walk(
    rates: NDArray[np.float32], starts: list[int], lengths: list[int], seed: int = 0
) -> tuple[list[float], NDArray[np.float64]]:
    """Steps through each row as the engine would.

    Returns the accept length of each row, and the share of steps in which each draft position was
    accepted.
    """
    random = np.random.default_rng(seed)
    drafts = rates.shape[0]
    depth = np.zeros(drafts)
    total_steps, accept_lengths = 0, []
    for row, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        position, steps = start, 0
        while position + drafts < length:
            accepted = 0
            while accepted < drafts and random.random() < rates[accepted, row, position + accepted]:
                depth[accepted] += 1
                accepted += 1
            position += accepted + 1
            steps += 1
        total_steps += steps
        if steps:
            accept_lengths.append((position - start) / steps)
    return accept_lengths, depth / max(total_steps, 1)
