"""Indexers on disk: one safetensors file each, with what they belong to in its metadata."""

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from inference_backend.errors import ModelUnavailable
from inference_backend.model.shape import LlamaShape
from inference_backend.sparse.indexer import Indexer, IndexShape

SHIPPED = Path(__file__).parent / "weights"


def save_indexer(path: Path, indexer: Indexer, target: LlamaShape) -> None:
    """Writes bfloat16 weights."""
    tensors = {
        name: value.detach().to("cpu", torch.bfloat16).contiguous()
        for name, value in indexer.state_dict().items()
    }
    metadata = {"target": target.name, "indexer": json.dumps(asdict(indexer.shape))}
    save_file(tensors, path, metadata)


def find_indexer(target: LlamaShape, path: str | None) -> Path:
    """The file to load for a target: the given one, else the shipped one.

    Raises:
        ModelUnavailable: there is none.
    """
    chosen = Path(path) if path is not None else SHIPPED / f"{target.name}.safetensors"
    if chosen.is_file():
        return chosen
    what = (
        f"indexer {chosen} does not exist" if path else f"no indexer is shipped for {target.name}"
    )
    raise ModelUnavailable(
        f"{what}; train one with 'python -m inference_backend.sparse.train' and pass it as "
        "--indexer, or use --attention dense"
    )


def load_indexer(
    path: Path, target: LlamaShape, device: torch.device, dtype: torch.dtype
) -> Indexer:
    """Reads an indexer for a target.

    Raises:
        ModelUnavailable: the file is no indexer, or belongs to a model of other sizes.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        shape = IndexShape(**json.loads(metadata["indexer"]))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise ModelUnavailable(f"{path} is not an indexer: {error}") from error
    indexer = Indexer(target, shape)
    try:
        indexer.load_state_dict(tensors)
    except RuntimeError as error:  # names and shapes of the tensors
        raise ModelUnavailable(
            f"indexer {path} (of {metadata.get('target')}) does not fit {target.name}: {error}"
        ) from error
    return prepared(indexer, device, dtype)


def prepared(indexer: Indexer, device: torch.device, dtype: torch.dtype) -> Indexer:
    """The indexer for inference. Its rotary tables stay exact."""
    indexer = indexer.to(device=device)
    indexer.layers.to(dtype=dtype)
    return indexer.requires_grad_(False).eval()
