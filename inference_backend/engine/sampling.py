"""Sampling parameters and random numbers of the sequences of one batch, as tensors."""

from collections.abc import Sequence as Rows

import numpy as np
import torch
from torch import Tensor

from inference_backend.engine.sequence import Sequence
from inference_backend.speculative.verify import SamplingRows


def sampling_rows(
    sequences: Rows[Sequence], vocab_size: int, device: torch.device
) -> SamplingRows | None:
    """Parameters of each sequence; ``None`` if every one takes the most likely token."""
    sampling = [sequence.request.sampling for sequence in sequences]
    if all(one.temperature == 0 for one in sampling):
        return None
    top_k = [min(one.top_k or vocab_size, vocab_size) for one in sampling]
    return SamplingRows(
        torch.tensor([one.temperature for one in sampling], device=device),
        torch.tensor([one.top_p for one in sampling], device=device),
        torch.tensor(top_k, device=device),
        is_filtered=any(one.top_p < 1 for one in sampling) or min(top_k) < vocab_size,
    )


def uniforms(sequences: Rows[Sequence], count: int, device: torch.device) -> Tensor:
    """``[B, count]`` random numbers in [0, 1), each row from its sequence's own generator.

    What a seeded request gets does not depend on its neighbours.
    """
    drawn = np.stack([sequence.random.random(count, dtype=np.float32) for sequence in sequences])
    return torch.from_numpy(drawn).to(device)
