"""Llama models of a few thousand weights, draft heads that often guess right, and engines of both.

The weights are random, and so large that answers vary and the best logit is clear: rounding never
turns a greedy choice.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from inference_backend.engine.build import assemble
from inference_backend.engine.decode_inputs import DecodeInputs
from inference_backend.engine.engine import Engine
from inference_backend.engine.options import EngineOptions, settle
from inference_backend.hicache.readiness import LoadSync
from inference_backend.kv.sanitizer import SanitizerMode
from inference_backend.model.shape import LlamaShape
from inference_backend.model.transformer import DecoderLayer, Transformer, build_transformer
from inference_backend.model.weights import expected_shapes
from inference_backend.sparse.indexer import Indexer
from inference_backend.speculative.head import DraftHead, HeadShape
from inference_backend.speculative.head_file import LoadedHead

RunStep = Callable[[DecodeInputs], tuple[Tensor, Tensor]]
VOCAB = 61
EOS = 2
SHAPE = LlamaShape(
    name="tiny",
    hidden_size=64,
    intermediate_size=96,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    vocab_size=VOCAB,
    max_context=256,
    rope_theta=10_000.0,
    rms_norm_eps=1e-6,
    tie_embeddings=True,
    bos_token_id=None,
    eos_token_ids=(EOS,),
)
ONE_LAYER = replace(SHAPE, num_layers=1)


def tiny_tensors(shape: LlamaShape = SHAPE, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under Hugging Face's names. Layers after the first one add little."""
    source = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name, size in expected_shapes(shape).items():
        if len(size) == 1:
            tensors[name] = torch.ones(size)
            continue
        weight = torch.randn(size, generator=source)
        if name == "model.embed_tokens.weight":
            tensors[name] = weight / weight.pow(2).mean(-1, keepdim=True).sqrt()
        else:
            is_first = name.startswith("model.layers.0.") or "layers" not in name
            tensors[name] = weight * (0.3 if is_first else 0.12)
    return tensors


def tiny_model(shape: LlamaShape = SHAPE, seed: int = 0, device: str = "cpu") -> Transformer:
    """Equal arguments, equal weights."""
    return build_transformer(shape, tiny_tensors(shape, seed), torch.device(device), torch.float32)


def copied_head(model: Transformer, hidden_share: float = 0.0) -> LoadedHead:
    """A head that computes the target's first layer: perfect for a target of one layer.

    With ``hidden_share`` the target's last hidden state matters too, as in a trained head.
    """
    shape, size = model.shape, model.shape.hidden_size
    device = model.norm.device
    head = DraftHead(shape, HeadShape(size, shape.intermediate_size)).to(device)
    source = torch.Generator().manual_seed(1)
    noise = torch.randn(size, size, generator=source) * size**-0.5
    with torch.no_grad():
        head.fuse.weight.copy_(torch.cat([noise * hidden_share, torch.eye(size)], dim=1))
        first = model.layers[0]
        assert isinstance(first, DecoderLayer)
        head.layer.load_state_dict(first.state_dict())
        head.norm.copy_(model.norm)
    frequent = torch.randperm(shape.vocab_size, generator=source)
    return LoadedHead(head.requires_grad_(False).eval(), frequent.to(device))


def tiny_engine(
    shape: LlamaShape = SHAPE,
    *,
    num_drafts: int = 3,
    pages: int = 256,
    page_size: int = 4,
    max_running: int = 8,
    chunk_tokens: int = 64,
    draft_vocabulary: int | None = None,
    hidden_share: float = 0.0,
    run_step: RunStep | None = None,
    device: str = "cpu",
    cuda_graphs: bool = True,
    sanitizer: SanitizerMode = SanitizerMode.OFF,
    indexer: Indexer | None = None,
    index_topk: int = 512,
    host_pages: int = 0,
    load_sync: LoadSync = LoadSync.FULL,
) -> Engine:
    """An engine around ``tiny_model(shape)``; ``run_step`` replaces the decoding."""
    model = tiny_model(shape, device=device)
    head = copied_head(model, hidden_share) if num_drafts else None
    options = EngineOptions(
        device=device,
        cuda_graphs=cuda_graphs,
        dtype="float32",
        num_drafts=num_drafts,
        page_size=page_size,
        kv_tokens=pages * page_size,
        max_running=max_running,
        chunk_tokens=chunk_tokens,
        draft_vocabulary=draft_vocabulary,
        sanitizer=sanitizer,
        attention="dense" if indexer is None else "sparse",
        index_topk=index_topk,
        host_kv_tokens=host_pages * page_size,
        load_sync=load_sync,
    )
    engine = assemble(model, head, settle(options, shape), indexer)
    if run_step is not None:
        engine.runner.run_step = run_step
    return engine
