"""Options of the engine, read once at start. ``settle`` turns the open ones into numbers."""

from dataclasses import dataclass, replace

import torch

from inference_backend.errors import ModelUnavailable
from inference_backend.hicache.readiness import LoadSync
from inference_backend.kv.sanitizer import SanitizerMode
from inference_backend.model.shape import LlamaShape

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEFAULT_KV_BYTES = {"cpu": 2 << 30, "cuda": 16 << 30}


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """See ``BackendOptions`` of the server for the meaning of each.

    Attributes:
        draft_vocabulary: the draft head chooses among this many of the most frequent tokens;
            ``None`` is all.
    """

    device: str = "auto"
    dtype: str = "auto"
    num_drafts: int = 3
    page_size: int = 16
    kv_tokens: int | None = None
    max_running: int = 16
    chunk_tokens: int = 256
    max_waiting: int = 256
    draft_head: str | None = None
    draft_vocabulary: int | None = 16_384
    cuda_graphs: bool = True
    sanitizer: SanitizerMode = SanitizerMode.OFF
    attention: str = "dense"
    index_topk: int = 512
    indexer: str | None = None
    host_kv_tokens: int = 0
    load_sync: LoadSync = LoadSync.FULL

    @property
    def is_sparse(self) -> bool:
        return self.attention == "sparse"


def settle(options: EngineOptions, shape: LlamaShape) -> EngineOptions:
    """Replaces every "auto" and ``None`` by what this machine and model give.

    Raises:
        ModelUnavailable: a GPU is asked for and none is usable.
    """
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ModelUnavailable(
            "--device cuda: torch sees no GPU; use --device cpu, or install a CUDA build of torch"
        )
    dtype = (
        options.dtype if options.dtype != "auto" else {"cpu": "float32", "cuda": "bfloat16"}[device]
    )
    kv_tokens = options.kv_tokens or _default_kv_tokens(
        shape, options, DTYPES[dtype].itemsize, device
    )
    chunk = max(options.chunk_tokens, options.page_size)
    return replace(options, device=device, dtype=dtype, kv_tokens=kv_tokens, chunk_tokens=chunk)


def _default_kv_tokens(
    shape: LlamaShape, options: EngineOptions, item_bytes: int, device: str
) -> int:
    """As much as every running request can use, within a fixed memory."""
    token_bytes = (shape.num_layers + 1) * 2 * shape.num_kv_heads * shape.head_dim * item_bytes
    if options.is_sparse:
        token_bytes += token_bytes // 8  # the index cache
    return min(options.max_running * shape.max_context, DEFAULT_KV_BYTES[device] // token_bytes)
