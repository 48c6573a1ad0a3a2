"""Attention over paged keys and values on a GPU: the pages are read where they lie.

Bytes that must move per layer: the keys and values of each sequence once (read by the query heads
that share them together), the new ones written once.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from inference_backend.kv.epochs import MOVER_BITS
from inference_backend.kv.group import Group
from inference_backend.kv.store import KvStore
from inference_backend.model.transformer import Attend

KEYS_A_BLOCK = 64
ROWS_A_BLOCK = 64
PAGES_A_BLOCK = 64


@triton.jit  # type: ignore[untyped-decorator]
def _store_kernel(  # type: ignore[no-untyped-def]
    key,
    value,
    data,
    page_table,
    expected,
    words,
    flags,
    first,
    tokens,
    table_blocks,
    width,
    key_stride,
    value_stride,
    table_stride,
    page_stride,
    word_stride,
    page_size: tl.constexpr,
    row_size: tl.constexpr,
    block_size: tl.constexpr,
    is_checked: tl.constexpr,
    mover_bits: tl.constexpr,
    table_block: tl.constexpr,
):
    """One program a token: copies its key and value (``row_size`` numbers each) into its page.

    A page's first token claims the page: it writes the tags. If ``is_checked``, programs beyond the
    tokens check the last tags of the pages that were begun before, ``table_block`` of a sequence
    each: attention follows on the same stream, so nothing has been read yet.
    """
    token = tl.program_id(0)
    if is_checked:  # noqa: SIM102  # a constant: the kernel is made without it
        if token >= tokens:
            number = token - tokens
            sequence = number // table_blocks
            column = (number % table_blocks) * table_block + tl.arange(0, table_block)
            is_read = column * page_size < tl.load(first + sequence)
            place = sequence * table_stride + column
            page = tl.load(page_table + place, is_read, 0)
            epoch = tl.load(expected + place, is_read, 0)
            tag = words + page * word_stride + word_stride - 1
            last_tag = tl.load(tag, is_read, 0, volatile=True)
            wrong = is_read & ((last_tag >> mover_bits) != epoch)
            if tl.max(wrong.to(tl.int32), 0) != 0:
                tl.store(flags + sequence, 1)
            return
    sequence = token // width
    position = tl.load(first + sequence) + token % width
    page = tl.load(page_table + sequence * table_stride + position // page_size)
    column = tl.arange(0, block_size)
    inside = column < row_size
    base = data + page * page_stride + (position % page_size) * row_size + column
    tl.store(base, tl.load(key + token * key_stride + column, inside), inside)
    new_value = tl.load(value + token * value_stride + column, inside)
    tl.store(base + page_size * row_size, new_value, inside)
    if is_checked:  # noqa: SIM102  # a constant: the kernel is made without it
        if position % page_size == 0:
            epoch = tl.load(expected + sequence * table_stride + position // page_size)
            tl.store(words + page * word_stride, epoch << mover_bits)
            tl.store(words + page * word_stride + word_stride - 1, epoch << mover_bits)


@triton.jit  # type: ignore[untyped-decorator]
def _attend_kernel(  # type: ignore[no-untyped-def]
    query,
    data,
    page_table,
    first,
    out,
    width,
    query_stride,
    out_stride,
    table_stride,
    page_stride,
    scale,
    share: tl.constexpr,
    page_size: tl.constexpr,
    kv_heads: tl.constexpr,
    head_size: tl.constexpr,
    row_block: tl.constexpr,
    key_block: tl.constexpr,
):
    """One program: a block of (token, query head) rows of one sequence that share one key head.

    Row ``m`` is token ``m // share`` of the sequence and query head ``m % share`` of the key head.
    """
    sequence = tl.program_id(0)
    kv_head = tl.program_id(1)
    row = tl.program_id(2) * row_block + tl.arange(0, row_block)
    token = row // share
    is_row = token < width
    head = kv_head * share + row % share
    dim = tl.arange(0, head_size)
    begin = tl.load(first + sequence)
    rows = sequence * width + token
    address = rows[:, None] * query_stride + head[:, None] * head_size + dim[None, :]
    q = tl.load(query + address, is_row[:, None], 0.0)
    last_token = tl.minimum((tl.program_id(2) * row_block + row_block - 1) // share, width - 1)
    limit = begin + last_token + 1
    highest = tl.full([row_block], -1e30, tl.float32)
    total = tl.zeros([row_block], tl.float32)
    summed = tl.zeros([row_block, head_size], tl.float32)
    for start in range(0, limit, key_block):
        position = start + tl.arange(0, key_block)
        is_key = position < limit
        page = tl.load(page_table + sequence * table_stride + position // page_size, is_key, 0)
        slot = (
            page * page_stride
            + (position % page_size) * (kv_heads * head_size)
            + kv_head * head_size
        )
        where = data + slot[:, None] + dim[None, :]
        k = tl.load(where, is_key[:, None], 0.0)
        score = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
        seen = is_key[None, :] & (position[None, :] <= begin + token[:, None])
        score = tl.where(seen, score, -1e30)
        new_highest = tl.maximum(highest, tl.max(score, 1))
        weight = tl.where(seen, tl.exp(score - new_highest[:, None]), 0.0)
        shrink = tl.exp(highest - new_highest)
        v = tl.load(where + page_size * kv_heads * head_size, is_key[:, None], 0.0)
        summed = summed * shrink[:, None]
        summed += tl.dot(weight.to(v.dtype), v, input_precision="ieee")
        total = total * shrink + tl.sum(weight, 1)
        highest = new_highest
    result = summed / total[:, None]
    target = rows[:, None] * out_stride + head[:, None] * head_size + dim[None, :]
    tl.store(out + target, result.to(out.dtype.element_ty), is_row[:, None])


class TritonAttention:
    """Reads pages in place.

    Works inside CUDA graphs: all sizes but the tensors' own are fixed at capture.
    """

    def __init__(self, store: KvStore) -> None:
        self.store = store

    def bind(self, group: Group) -> Attend:
        store, width = self.store, group.width
        count, table_stride = group.page_table.shape[0], group.page_table.stride(0)
        page_stride = store.data.stride(1)

        def attend(layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            kv_heads, head_dim = key.shape[1:]
            share = query.shape[1] // kv_heads
            _write(key, value, layer, store, group)
            out = torch.empty(query.shape, dtype=query.dtype, device=query.device)
            rows = max(16, min(ROWS_A_BLOCK, triton.next_power_of_2(width * share)))
            grid = (count, kv_heads, triton.cdiv(width * share, rows))
            _launch(_attend_kernel, grid)(
                query,
                store.data[layer],
                group.page_table,
                group.first,
                out,
                width,
                query.stride(0),
                out.stride(0),
                table_stride,
                page_stride,
                head_dim**-0.5,
                share=share,
                page_size=store.page_size,
                kv_heads=kv_heads,
                head_size=head_dim,
                row_block=rows,
                key_block=KEYS_A_BLOCK,
                num_warps=4,
            )
            return out

        return attend


def _write(key: Tensor, value: Tensor, layer: int, store: KvStore, group: Group) -> None:
    """Stores the new keys and values, and checks what is there already, in one launch."""
    tokens, row = key.shape[0], key.shape[1] * key.shape[2]
    is_checked = group.expected is not None
    blocks = triton.cdiv(group.page_table.shape[1], PAGES_A_BLOCK)
    checks = blocks * group.page_table.shape[0] if is_checked else 0
    _launch(_store_kernel, (tokens + checks,))(
        key,
        value,
        store.data[layer],
        group.page_table,
        # Without the check the kernel does not look at these.
        group.page_table if group.expected is None else group.expected,
        store.words[layer],
        group.first if group.flags is None else group.flags,
        group.first,
        tokens,
        blocks,
        group.width,
        key.stride(0),
        value.stride(0),
        group.page_table.stride(0),
        store.data.stride(1),
        store.words.stride(1),
        page_size=store.page_size,
        row_size=row,
        block_size=triton.next_power_of_2(row),
        is_checked=is_checked,
        mover_bits=MOVER_BITS,
        table_block=PAGES_A_BLOCK,
        num_warps=2,
    )


def _launch(kernel: Any, grid: tuple[int, ...]) -> Any:
    return kernel[grid]
