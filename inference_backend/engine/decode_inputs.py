"""What one decoding step reads."""

from dataclasses import dataclass

from torch import Tensor

from inference_backend.kv.attention import Group
from inference_backend.speculative.verify import SamplingRows


@dataclass(frozen=True, slots=True)
class DecodeInputs:
    """A batch of sequences that verify their drafts, as tensors of the device.

    Attributes:
        slots: ``[B]`` rows of the proposer's per-sequence tensors.
        last: ``[B]`` each sequence's last token, not yet computed.
        group: pages, and position of ``last``; the width is drafts + 1.
        rows: sampling parameters, ``None`` for a greedy batch.
        uniforms: ``[B, 2 * drafts + 1]``: for the drafts, for the token after them, and for the
            next drafts.
    """

    slots: Tensor
    last: Tensor
    group: Group
    rows: SamplingRows | None
    uniforms: Tensor
