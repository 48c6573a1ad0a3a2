"""What a verification step and a pass over prompts read, as tensors of the device."""

from dataclasses import dataclass

from torch import Tensor

from inference_backend.kv.group import Group
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


@dataclass(frozen=True, slots=True)
class PrefillInputs:
    """Chunks of prompts, one after the other.

    Attributes:
        token_ids: ``[N]`` tokens of all chunks.
        groups: one a chunk, with one sequence each.
        before: page before each chunk, 0 where the chunk begins its sequence.
        ended: which chunks are the last of their prompt, ``E`` of them.
        slots: ``[E]`` rows of the proposer's per-sequence tensors.
        after: pages of those ``E``, and the position of the token sampled next; the width is 1.
        rows: their sampling parameters, ``None`` if all are greedy.
        uniforms: ``[E, drafts + 1]``: for the first token, and for its drafts.
    """

    token_ids: Tensor
    groups: list[Group]
    before: list[int]
    ended: list[int]
    slots: Tensor
    after: Group
    rows: SamplingRows | None
    uniforms: Tensor
