"""Faster matrix products on a CPU: weights laid out once in the order that oneDNN computes in.

Put on from outside; the model does not know of it. A plain product rearranges the weights on every
call, which costs more than the product itself while there are few rows: 2 to 4 times at 2 to 16
rows (``benchmarks/engine_speed.py``).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

PACKED_ROWS = 16
"""The layout is chosen for about this many rows; others work with it too."""


class PackedLinear(nn.Module):
    """``input @ weight.T`` with a packed float32 weight ``[out, in]``."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self._packed = torch.ops.mkldnn._reorder_linear_weight(
            weight.detach().contiguous(), PACKED_ROWS
        )

    def forward(self, rows: Tensor) -> Tensor:
        """``rows [N, in]`` -> ``[N, out]``."""
        product: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows, self._packed, None, "none", [], ""
        )
        return product


class PlainLinear(nn.Module):
    """The same with the weight as it is: other devices and types."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self._weight = weight.detach()

    def forward(self, rows: Tensor) -> Tensor:
        return functional.linear(rows, self._weight)


def can_pack(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
    )


def fast_linear(weight: Tensor) -> nn.Module:
    """The fastest product with this weight here."""
    return PackedLinear(weight) if can_pack(weight) else PlainLinear(weight)


def pack(module: nn.Module) -> None:
    """Replaces every ``nn.Linear`` below ``module`` where that helps. For inference only."""
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            if can_pack(child.weight):
                setattr(module, name, PackedLinear(child.weight))
        else:
            pack(child)
