"""One verification step of a batch: tensors in, tensors out, nothing read back to the host."""

import torch
from torch import Tensor

from inference_backend.engine.decode_inputs import DecodeInputs
from inference_backend.kv.attention import AttentionBackend
from inference_backend.kv.page_check import check_end
from inference_backend.kv.store import KvStore
from inference_backend.model.transformer import Transformer
from inference_backend.speculative.proposer import Proposer
from inference_backend.speculative.verify import distribution, draw, verify, verify_greedy


class DecodeStep:
    """Runs the target over last tokens and drafts, verifies, and drafts on.

    It can be captured in a CUDA graph.

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

    def __call__(self, inputs: DecodeInputs) -> tuple[Tensor, Tensor]:
        """Returns ``accepted [B]`` and ``tokens [B, drafts + 1]``.

        The first ``accepted + 1`` tokens of a row count.
        """
        group, proposer = inputs.group, self.proposer
        token_ids = inputs.last[:, None]
        if proposer is not None:
            token_ids = torch.cat([token_ids, proposer.tokens[inputs.slots]], dim=1)
        positions = group.positions()
        hidden = self.model(token_ids.flatten(), positions, self.attention.bind(group))
        self.store.keep_tails(hidden, group.pages(positions, self.store.page_size), positions)
        logits = self.model.logits(hidden)
        accepted, tokens = self._verify(logits.view(-1, group.width, logits.shape[1]), inputs)
        if proposer is not None:
            proposer.propose_after_decode(inputs, hidden, accepted, tokens)
        check_end(self.store, group, has_drafts=proposer is not None)
        return accepted, tokens

    def _verify(self, logits: Tensor, inputs: DecodeInputs) -> tuple[Tensor, Tensor]:
        """``logits [B, drafts + 1, vocab]`` against the drafts."""
        if inputs.rows is None:
            best = logits.argmax(-1)
            drafts = best[:, :0] if self.proposer is None else self.proposer.tokens[inputs.slots]
            return verify_greedy(best, drafts)
        target = distribution(logits.flatten(0, 1), inputs.rows.repeat(logits.shape[1]))
        target = target.view_as(logits)
        if self.proposer is None:
            sampled = draw(target[:, 0], inputs.uniforms[:, 0])
            return torch.zeros_like(inputs.last), sampled[:, None]
        choices = self.proposer.choices(inputs.slots, inputs.rows.temperature)
        return verify(target, choices, inputs.uniforms[:, : logits.shape[1]])
