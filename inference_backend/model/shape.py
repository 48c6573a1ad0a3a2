"""Sizes of a Llama-architecture model. Knows no tensors and no files."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LlamaShape:
    """What the engine must know to build the transformer and its KV cache.

    Attributes:
        name: short name under which the model is served.
        max_context: longest sequence in tokens, prompt and answer together.
        tie_embeddings: the output matrix is the embedding matrix: there is no ``lm_head.weight``.
        eos_token_ids: tokens that end a generation unless the request ignores them.
    """

    name: str
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    max_context: int
    rope_theta: float
    rms_norm_eps: float
    tie_embeddings: bool
    bos_token_id: int | None
    eos_token_ids: tuple[int, ...]
