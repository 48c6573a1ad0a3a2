"""Attention over paged keys and values, in plain torch: the reference, and the CPU's way."""

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from inference_backend.kv.group import Group
from inference_backend.kv.page_check import page_check
from inference_backend.kv.store import KvStore
from inference_backend.model.transformer import Attend


class AttentionBackend(Protocol):
    """Makes the model's ``attend`` for one group."""

    def bind(self, group: Group) -> Attend: ...


class TorchAttention:
    """Gathers each sequence's pages and lets torch attend.

    Exact on every device, made for the CPU.
    """

    def __init__(self, store: KvStore) -> None:
        self.store = store

    def bind(self, group: Group) -> Attend:
        store, width, count = self.store, group.width, group.first.shape[0]
        size = store.page_size
        used = -(-(int(group.first.max()) + width) // size)
        table = group.page_table[:, :used].reshape(-1)
        positions = group.positions()
        pages, offsets = group.pages(positions, size), positions % size
        visible = torch.arange(used * size, device=positions.device) <= positions.view(
            count, width, 1
        )
        zero = torch.zeros((), dtype=store.data.dtype, device=positions.device)
        mask = torch.where(visible, zero, float("-inf"))[:, None]

        check = page_check(store, group)
        masks: list[Tensor] = []  # one, repeated by the first layer for all of them

        def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            store.write(layer, pages, offsets, key, value)
            check.wrote(layer)
            kv_heads, groups = key.shape[1], query.shape[1] // key.shape[1]
            stored = store.data[layer]
            check.before(layer)
            gathered = stored.index_select(0, table).view(count, used, *stored.shape[1:])
            # [B, P, 2, page, kv_heads, head_dim] -> two of [B, kv_heads, P * page, head_dim]
            keys, values = (gathered[:, :, part].flatten(1, 2).transpose(1, 2) for part in (0, 1))
            # The query heads that share a key head become rows of one product.
            rows = (
                query.view(count, width, kv_heads, groups, -1).permute(0, 2, 3, 1, 4).flatten(2, 3)
            )
            if not masks:
                masks.append(mask.repeat(1, 1, groups, 1))
            attended = functional.scaled_dot_product_attention(
                rows, keys, values, attn_mask=masks[0]
            )
            attended = attended.view(count, kv_heads, groups, width, -1).permute(0, 3, 1, 2, 4)
            return attended.reshape(count * width, kv_heads * groups, -1)

        return attend


def bind_all(backend: AttentionBackend, groups: list[Group]) -> Attend:
    """``attend`` for the rows of several groups, one group after the other."""
    bound = [backend.bind(group) for group in groups]
    if len(bound) == 1:
        return bound[0]
    sizes = [group.first.shape[0] * group.width for group in groups]

    def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        parts = zip(bound, *(torch.split(x, sizes) for x in (query, key, value)), strict=True)
        return torch.cat([one(layer, *rows) for one, *rows in parts])

    return attend
