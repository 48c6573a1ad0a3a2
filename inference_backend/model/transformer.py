"""A plain Llama-architecture transformer over a flat batch of tokens.

Knows no cache, no pages, no requests.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from inference_backend.model.elementwise import PLAIN, Elementwise
from inference_backend.model.shape import LlamaShape

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""``attend(layer, query, key, value) -> attended``: one layer's attention for a flat batch.

``query`` and the result are ``[N, heads, head_dim]``, ``key`` and ``value`` are
``[N, kv_heads, head_dim]``.

The caller stores key and value and reads whatever context each token has. That is all the model
needs to know.
"""


class RotaryTable(nn.Module):
    """Cosines and sines of the rotary embedding for every position up to ``max_context``."""

    cosine: Tensor
    sine: Tensor

    def __init__(self, head_dim: int, theta: float, max_context: int) -> None:
        super().__init__()
        frequency = 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
        angle = torch.arange(max_context, dtype=torch.float32)[:, None] * frequency
        angle = torch.cat([angle, angle], dim=-1)
        # The sign of rotate_half is folded into the sine table: one multiplication less per layer.
        sign = torch.ones(head_dim)
        sign[: head_dim // 2] = -1.0
        self.register_buffer("cosine", angle.cos(), persistent=False)
        self.register_buffer("sine", angle.sin() * sign, persistent=False)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """``positions [N]`` -> cosine and signed sine, each ``[N, 1, head_dim]``."""
        return self.cosine[positions].unsqueeze(1), self.sine[positions].unsqueeze(1)


class DecoderLayer(nn.Module):
    """Attention and gated MLP, pre-normalised."""

    def __init__(self, shape: LlamaShape, index: int) -> None:
        super().__init__()
        self.index = index
        self.num_heads, self.num_kv_heads, self.head_dim = (
            shape.num_heads,
            shape.num_kv_heads,
            shape.head_dim,
        )
        query_size = shape.num_heads * shape.head_dim
        key_size = shape.num_kv_heads * shape.head_dim
        self.eps = shape.rms_norm_eps
        self.attention_norm = nn.Parameter(torch.ones(shape.hidden_size))
        self.mlp_norm = nn.Parameter(torch.ones(shape.hidden_size))
        self.qkv = nn.Linear(shape.hidden_size, query_size + 2 * key_size, bias=False)
        self.output = nn.Linear(query_size, shape.hidden_size, bias=False)
        self.gate_up = nn.Linear(shape.hidden_size, 2 * shape.intermediate_size, bias=False)
        self.down = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=False)

    def project(
        self, normed: Tensor, rotary: tuple[Tensor, Tensor], ops: Elementwise
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rotated query and key, and value, ``[N, heads, head_dim]`` each."""
        heads = self.qkv(normed).view(normed.shape[0], -1, self.head_dim)
        turning = self.num_heads + self.num_kv_heads
        turned = ops.rotate(heads[:, :turning], *rotary)
        return turned[:, : self.num_heads], turned[:, self.num_heads :], heads[:, turning:]

    def forward(
        self,
        hidden: Tensor,
        added: Tensor,
        rotary: tuple[Tensor, Tensor],
        attend: Attend,
        ops: Elementwise,
    ) -> tuple[Tensor, Tensor]:
        """``hidden [N, hidden]``, and what the layer before adds to it, not added yet.

        Returns the same pair for the next layer, so that addition and norm can be one kernel.
        """
        hidden, normed = ops.add_norm(hidden, added, self.attention_norm, self.eps)
        attended = attend(self.index, *self.project(normed, rotary, ops))
        added = self.output(attended.reshape(hidden.shape[0], -1))
        hidden, normed = ops.add_norm(hidden, added, self.mlp_norm, self.eps)
        return hidden, self.down(ops.gate(self.gate_up(normed)))


class Transformer(nn.Module):
    """The target model: embedding, layers, final norm, output matrix."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(shape, i) for i in range(shape.num_layers))
        self.norm = nn.Parameter(torch.ones(shape.hidden_size))
        self.unembedding = nn.Linear(shape.hidden_size, shape.vocab_size, bias=False)
        if shape.tie_embeddings:
            self.unembedding.weight = self.embedding.weight
        self.rotary = RotaryTable(shape.head_dim, shape.rope_theta, shape.max_context)
        self.ops = PLAIN

    def forward(self, token_ids: Tensor, positions: Tensor, attend: Attend) -> Tensor:
        """``token_ids [N]``, ``positions [N]`` -> final normalised states ``[N, hidden]``."""
        hidden = self.embedding(token_ids)
        added = torch.zeros_like(hidden)
        rotary = self.rotary(positions)
        for layer in self.layers:
            hidden, added = layer(hidden, added, rotary, attend, self.ops)
        return self.ops.add_norm(hidden, added, self.norm, self.shape.rms_norm_eps)[1]

    @property
    def output_matrix(self) -> Tensor:
        """Weight of the output product ``[vocab, hidden]``."""
        matrix = self.embedding.weight if self.shape.tie_embeddings else self.unembedding.weight
        return matrix.detach()

    def logits(self, hidden: Tensor) -> Tensor:
        """``hidden [N, hidden]`` -> float32 logits ``[N, vocab]``."""
        product: Tensor = self.unembedding(hidden)
        return product.float()


def build_transformer(
    shape: LlamaShape, tensors: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
) -> Transformer:
    """Makes the model from Hugging Face's Llama tensors.

    They are fused where one product can do the work of two or three.

    Raises:
        KeyError: a tensor is missing.
    """
    with torch.device("meta"):
        model = Transformer(shape)
    state = dict(_fused_state(shape, tensors))
    if not shape.tie_embeddings:
        state["unembedding.weight"] = tensors["lm_head.weight"]
    else:
        state["unembedding.weight"] = state["embedding.weight"]
    state = {name: tensor.to(device=device, dtype=dtype) for name, tensor in state.items()}
    if shape.tie_embeddings:
        state["unembedding.weight"] = state["embedding.weight"]
    model.rotary = RotaryTable(shape.head_dim, shape.rope_theta, shape.max_context).to(device)
    model.load_state_dict(state, strict=True, assign=True)
    if shape.tie_embeddings:
        model.unembedding.weight = model.embedding.weight
    return model.requires_grad_(False).eval()


def _fused_state(shape: LlamaShape, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    state = {
        "embedding.weight": tensors["model.embed_tokens.weight"],
        "norm": tensors["model.norm.weight"],
    }
    for index in range(shape.num_layers):
        source, target = f"model.layers.{index}.", f"layers.{index}."
        attention, mlp = source + "self_attn.", source + "mlp."
        qkv = [tensors[f"{attention}{part}_proj.weight"] for part in "qkv"]
        gate_up = [tensors[f"{mlp}{part}_proj.weight"] for part in ("gate", "up")]
        state[target + "qkv.weight"] = torch.cat(qkv)
        state[target + "output.weight"] = tensors[attention + "o_proj.weight"]
        state[target + "gate_up.weight"] = torch.cat(gate_up)
        state[target + "down.weight"] = tensors[mlp + "down_proj.weight"]
        state[target + "attention_norm"] = tensors[source + "input_layernorm.weight"]
        state[target + "mlp_norm"] = tensors[source + "post_attention_layernorm.weight"]
    return state
