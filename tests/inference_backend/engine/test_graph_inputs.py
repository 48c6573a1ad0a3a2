"""What a graph reads: the batch, and padding that touches nobody's page."""

from dataclasses import replace

import torch

from inference_backend.engine.decode_inputs import DecodeInputs
from inference_backend.engine.graphs import _fill
from inference_backend.kv.group import Group

SCRATCH, PAGES = 7, 6


def batch(rows: int, *, size: int | None = None) -> DecodeInputs:
    """``rows`` sequences with pages of their own; as a graph's tensors if ``size`` is given."""
    size = size or rows
    table = torch.arange(1, 1 + size * PAGES).view(size, PAGES)
    flags = torch.ones(size, dtype=torch.int32)
    group = Group(table, torch.full((size,), 9), 4, table * 10, flags)
    return DecodeInputs(
        slots=torch.arange(size),
        last=torch.arange(size),
        group=group,
        rows=None,
        uniforms=torch.zeros(size, 7),
    )


def test_padding_rows_know_no_page_of_an_earlier_batch() -> None:
    """Drafts of a padding row at position 0 reach the second page where pages are small."""
    static = batch(4)
    wanted = batch(2)
    short = replace(wanted.group, page_table=wanted.group.page_table[:, :3])
    assert wanted.group.expected is not None
    short = replace(short, expected=wanted.group.expected[:, :3])
    _fill(static, replace(wanted, group=short), 2, SCRATCH)
    assert static.group.expected is not None
    assert static.group.flags is not None
    assert static.group.page_table[2:].eq(0).all()
    assert static.group.expected[2:].eq(0).all()
    assert static.group.first[2:].eq(0).all()
    assert static.slots[2:].tolist() == [SCRATCH, SCRATCH]
    assert static.group.page_table[:2, :3].equal(short.page_table)
    assert static.group.flags.eq(0).all()
