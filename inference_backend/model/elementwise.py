"""The small operations between the matrix products, plain or compiled into one kernel each."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def rms_norm(hidden: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square normalisation over the last dimension."""
    return functional.rms_norm(hidden, (hidden.shape[-1],), weight, eps)


def add_norm(hidden: Tensor, added: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """``hidden + added``, and its normalisation."""
    hidden = hidden + added
    return hidden, rms_norm(hidden, weight, eps)


def rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Applies the rotary embedding to ``states [N, heads, head_dim]``.

    Half-split layout, as in Hugging Face's Llama; ``sine`` carries the sign.
    """
    swapped = states.roll(states.shape[-1] // 2, dims=-1)
    return (states * cosine + swapped * sine).to(states.dtype)


def gate(gate_up: Tensor) -> Tensor:
    """``silu(gate) * up`` of ``[N, 2 * intermediate]``."""
    gates, up = gate_up.chunk(2, dim=-1)
    return functional.silu(gates) * up


@dataclass(frozen=True, slots=True)
class Elementwise:
    """How the operations above are run."""

    add_norm: Callable[[Tensor, Tensor, Tensor, float], tuple[Tensor, Tensor]]
    rotate: Callable[[Tensor, Tensor, Tensor], Tensor]
    gate: Callable[[Tensor], Tensor]


PLAIN = Elementwise(add_norm, rotate, gate)


def compiled() -> Elementwise:
    """One kernel each.

    For GPUs: there, each small kernel costs as much as a small matrix product.
    """
    return Elementwise(
        torch.compile(add_norm, dynamic=True),
        torch.compile(rotate, dynamic=True),
        torch.compile(gate, dynamic=True),
    )
