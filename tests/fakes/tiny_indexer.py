"""Indexers of a few weights for the tiny models: random, and deterministic."""

import torch

from inference_backend.model.shape import LlamaShape
from inference_backend.sparse.index_file import prepared
from inference_backend.sparse.indexer import Indexer, default_index_shape
from tests.fakes.tiny_model import SHAPE


def tiny_indexer(shape: LlamaShape = SHAPE, seed: int = 0, device: str = "cpu") -> Indexer:
    """Equal arguments, equal weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        indexer = Indexer(shape, default_index_shape(shape))
    return prepared(indexer, torch.device(device), torch.float32)
