"""The check at the end of a pass on a GPU: one launch for all layers, see ``page_check``."""

from typing import Any

import triton
import triton.language as tl

from inference_backend.kv.blocks import PagedBlocks
from inference_backend.kv.epochs import MOVER_BITS
from inference_backend.kv.group import Group
from inference_backend.kv.store import KvStore

PAGES_A_BLOCK = 64
LAYERS_A_BLOCK = 8


@triton.jit  # type: ignore[untyped-decorator]
def _heads_kernel(  # type: ignore[no-untyped-def]
    words,
    page_table,
    expected,
    flags,
    first,
    width,
    table_stride,
    layer_stride,
    word_stride,
    num_layers,
    target_layers,
    page_size: tl.constexpr,
    page_block: tl.constexpr,
    layer_block: tl.constexpr,
    mover_bits: tl.constexpr,
):
    """One program: ``page_block`` pages of a sequence in ``layer_block`` layers.

    Of layers from ``target_layers`` on (the draft head's) only pages begun before the pass count.
    """
    sequence = tl.program_id(0)
    start = tl.program_id(1) * page_block
    column = start + tl.arange(0, page_block)
    layer = tl.program_id(2) * layer_block + tl.arange(0, layer_block)
    begin = tl.load(first + sequence)
    if start * page_size >= begin + width:
        return
    place = sequence * table_stride + column
    is_inside = column * page_size < begin + width
    page = tl.load(page_table + place, is_inside, 0)
    epoch = tl.load(expected + place, is_inside, 0)
    limit = tl.where(layer < target_layers, begin + width, begin)
    is_read = (column * page_size)[None, :] < limit[:, None]
    is_read = is_read & (layer < num_layers)[:, None]
    tag = words + layer.to(tl.int64)[:, None] * layer_stride + (page * word_stride)[None, :]
    first_tag = tl.load(tag, is_read, 0, volatile=True)
    wrong = is_read & ((first_tag >> mover_bits) != epoch[None, :])
    if tl.max(tl.max(wrong.to(tl.int32), 1), 0) != 0:
        tl.store(flags + sequence, 1)


def check_heads(store: KvStore, group: Group, *, has_drafts: bool) -> None:
    """Sets the flags of sequences with a page whose first tag is not what they rely on."""
    layers = store.target_layers + has_drafts
    for part in store.parts:
        _check_part(part, min(layers, part.words.shape[0]), store, group)


def _check_part(part: PagedBlocks, layers: int, store: KvStore, group: Group) -> None:
    count, columns = group.page_table.shape
    blocks = (triton.cdiv(columns, PAGES_A_BLOCK), triton.cdiv(layers, LAYERS_A_BLOCK))
    kernel: Any = _heads_kernel[count, *blocks]
    kernel(
        part.words,
        group.page_table,
        group.expected,
        group.flags,
        group.first,
        group.width,
        group.page_table.stride(0),
        part.words.stride(0),
        part.words.stride(1),
        layers,
        store.target_layers,
        page_size=store.page_size,
        page_block=PAGES_A_BLOCK,
        layer_block=LAYERS_A_BLOCK,
        mover_bits=MOVER_BITS,
        num_warps=4,
    )
