"""Attention over pages equals attention over whole sequences."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from inference_backend.kv.attention import TorchAttention
from inference_backend.kv.group import Group
from inference_backend.kv.store import KvStore
from tests.fakes.tiny_model import SHAPE

LAYER = 1


def dense(query: Tensor, keys: Tensor, values: Tensor, first: int) -> Tensor:
    """Rows from position ``first`` on see all positions up to their own."""
    groups = query.shape[1] // keys.shape[1]
    keys, values = (part.repeat_interleave(groups, 1).transpose(0, 1) for part in (keys, values))
    visible = torch.arange(keys.shape[1]) <= first + torch.arange(query.shape[0])[:, None]
    attended = functional.scaled_dot_product_attention(
        query.transpose(0, 1), keys, values, attn_mask=visible
    )
    return attended.transpose(0, 1)


def scattered(pages: int, count: int, seed: int) -> list[int]:
    """Page numbers in no order: a sequence's pages need not be neighbours."""
    order = torch.randperm(pages, generator=torch.Generator().manual_seed(seed)) + 1
    found: list[int] = order[:count].tolist()
    return found


@pytest.mark.parametrize("page_size", [1, 4, 16])
@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
def test_pages_in_any_order_give_the_dense_result(
    page_size: int, width: int, num_kv_heads: int
) -> None:
    """Three sequences of different lengths in one batch; what is free holds garbage."""
    shape = replace(SHAPE, num_kv_heads=num_kv_heads)
    starts, source = [0, 7, 30], torch.Generator().manual_seed(0)
    store = KvStore(shape, 150, page_size, torch.device("cpu"), torch.float32)
    store.data.normal_(generator=source).mul_(50)
    needed = [-(-(start + width) // page_size) for start in starts]
    pages = scattered(150, sum(needed), 1)
    table = torch.zeros(3, max(needed), dtype=torch.long)
    keys, values = (
        [torch.randn(start + width, num_kv_heads, 16, generator=source) for start in starts]
        for _ in range(2)
    )
    for row, (start, count) in enumerate(zip(starts, needed, strict=True)):
        own = torch.tensor([pages.pop() for _ in range(count)])
        table[row, :count] = own
        place = torch.arange(start)
        store.write(
            LAYER,
            own[place // page_size],
            place % page_size,
            keys[row][:start],
            values[row][:start],
        )
    query = torch.randn(3 * width, shape.num_heads, 16, generator=source)
    attend = TorchAttention(store).bind(Group(table, torch.tensor(starts), width))
    new_keys, new_values = (torch.cat([part[-width:] for part in all_]) for all_ in (keys, values))
    attended = attend(LAYER, query, new_keys, new_values).view(3, width, shape.num_heads, 16)
    for row, start in enumerate(starts):
        rows = query[row * width : (row + 1) * width]
        expected = dense(rows, keys[row], values[row], start)
        assert torch.allclose(attended[row], expected, atol=1e-5)


def test_rows_know_their_positions_and_pages() -> None:
    group = Group(torch.tensor([[5, 6, 7], [9, 8, 0]]), torch.tensor([6, 2]), 3)
    assert group.positions().tolist() == [6, 7, 8, 2, 3, 4]
    assert group.pages(group.positions(), 4).tolist() == [6, 6, 7, 9, 9, 8]
