"""Draft heads on disk: one safetensors file each, with what they belong to in its metadata."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from inference_backend.errors import ModelUnavailable
from inference_backend.model.shape import LlamaShape
from inference_backend.speculative.head import DraftHead, HeadShape

SHIPPED = Path(__file__).parent / "weights"
FREQUENT = "frequent_tokens"


@dataclass(frozen=True, slots=True)
class LoadedHead:
    """A draft head ready for use.

    Attributes:
        frequent_tokens: token ids, most frequent first. Drafting from the first few thousand of
            them alone makes the output product cheaper (FR-Spec, arXiv 2502.14856); verification
            stays exact.
    """

    head: DraftHead
    frequent_tokens: Tensor


def save_head(path: Path, head: DraftHead, target: LlamaShape, frequent_tokens: Tensor) -> None:
    """Writes bfloat16 weights."""
    tensors = {
        name: value.detach().to("cpu", torch.bfloat16) for name, value in head.state_dict().items()
    }
    tensors[FREQUENT] = frequent_tokens.to("cpu", torch.int32)
    metadata = {"target": target.name, "head": json.dumps(asdict(head.shape))}
    save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata)


def find_head(target: LlamaShape, path: str | None) -> Path | None:
    """The file to load for a target: the given one, else the shipped one, else ``None``.

    Raises:
        ModelUnavailable: the given file does not exist.
    """
    if path is not None:
        if not Path(path).is_file():
            raise ModelUnavailable(
                f"draft head {path} does not exist; train one with "
                "'python -m inference_backend.speculative.train'"
            )
        return Path(path)
    shipped = SHIPPED / f"{target.name}.safetensors"
    return shipped if shipped.is_file() else None


def load_head(
    path: Path, target: LlamaShape, device: torch.device, dtype: torch.dtype
) -> LoadedHead:
    """Reads a head for a target.

    Raises:
        ModelUnavailable: the file is no draft head, or belongs to a model of another size.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        shape = HeadShape(**json.loads(metadata["head"]))
        frequent = tensors.pop(FREQUENT).to(device=device, dtype=torch.long)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise ModelUnavailable(f"{path} is not a draft head: {error}") from error
    if shape.hidden_size != target.hidden_size:
        raise ModelUnavailable(
            f"draft head {path} was made for hidden size {shape.hidden_size} "
            f"({metadata.get('target')}), but {target.name} has {target.hidden_size}"
        )
    head = DraftHead(target, shape)
    try:
        head.load_state_dict(tensors)
    except RuntimeError as error:  # names and shapes of the tensors
        raise ModelUnavailable(f"draft head {path} does not fit {target.name}: {error}") from error
    head = head.to(device=device, dtype=dtype).requires_grad_(False).eval()
    return LoadedHead(head, frequent)
