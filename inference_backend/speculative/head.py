"""The draft head: one layer that guesses the next tokens from the target's last hidden state.

The design follows multi-token prediction (DeepSeek-V3, arXiv 2412.19437, section 2.2) and is
unrolled at inference as in EAGLE (arXiv 2401.15077): its own output takes the place of the target's
hidden state.

Entry ``j`` of its cache belongs to the token at position ``j`` and is computed from that token's
embedding and the target's hidden state at ``j - 1``. So it depends on the prefix up to ``j`` alone
and can be shared between requests as the target's own pages are.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from inference_backend.model.elementwise import PLAIN, rms_norm
from inference_backend.model.shape import LlamaShape
from inference_backend.model.transformer import Attend, DecoderLayer


@dataclass(frozen=True, slots=True)
class HeadShape:
    """What distinguishes one draft head from another, kept in the weights' file."""

    hidden_size: int
    intermediate_size: int


class DraftHead(nn.Module):
    """Proposes tokens.

    The embedding and the output matrix are the target's own and not part of its weights.
    """

    def __init__(self, target: LlamaShape, head: HeadShape) -> None:
        super().__init__()
        layer_shape = replace(target, intermediate_size=head.intermediate_size)
        self.shape = head
        self.eps = target.rms_norm_eps
        self.hidden_norm = nn.Parameter(torch.ones(target.hidden_size))
        self.token_norm = nn.Parameter(torch.ones(target.hidden_size))
        self.fuse = nn.Linear(2 * target.hidden_size, target.hidden_size, bias=False)
        self.layer = DecoderLayer(layer_shape, index=target.num_layers)
        self.norm = nn.Parameter(torch.ones(target.hidden_size))
        self.ops = PLAIN

    def forward(
        self,
        previous_hidden: Tensor,
        embedded: Tensor,
        cosine: Tensor,
        sine: Tensor,
        attend: Attend,
    ) -> Tensor:
        """``previous_hidden [N, hidden]``, ``embedded [N, hidden]`` -> ``[N, hidden]``.

        The result is the input of the output matrix, and the ``previous_hidden`` of the next draft.
        """
        fused = self.fuse(self.mix(previous_hidden, embedded))
        nothing = torch.zeros_like(fused)
        hidden, added = self.layer(fused, nothing, (cosine, sine), attend, self.ops)
        return self.ops.add_norm(hidden, added, self.norm, self.eps)[1]

    def mix(self, previous_hidden: Tensor, embedded: Tensor) -> Tensor:
        """The two inputs, each normalised, side by side."""
        return torch.cat(
            [
                rms_norm(previous_hidden, self.hidden_norm, self.eps),
                rms_norm(embedded, self.token_norm, self.eps),
            ],
            dim=-1,
        )
