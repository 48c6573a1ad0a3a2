"""Attention over chosen keys in the paged cache."""

import pytest
import torch

from inference_backend.kv.attention import TorchAttention
from inference_backend.kv.epochs import Mover
from inference_backend.kv.group import Group
from inference_backend.kv.page_check import DeviceCheck, TagCheck
from inference_backend.kv.readiness import AlwaysReady
from inference_backend.kv.store import KvStore
from inference_backend.sparse import attention as sparse_attention
from inference_backend.sparse.attention import SparseAttention
from inference_backend.sparse.quality import by_indexer, chosen_attention
from tests.fakes.tiny_indexer import tiny_indexer
from tests.fakes.tiny_model import SHAPE

PAGE = 4
PAGES = 40
DIM = tiny_indexer().shape.dim


def make_store() -> KvStore:
    return KvStore(SHAPE, PAGES, PAGE, torch.device("cpu"), torch.float32, DIM)


def states(rows: int, heads: int, seed: int) -> torch.Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(rows, heads, SHAPE.head_dim, generator=source)


def parts(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (
        states(rows, SHAPE.num_heads, seed),
        states(rows, SHAPE.num_kv_heads, seed + 100),
        states(rows, SHAPE.num_kv_heads, seed + 200),
    )


def make(store: KvStore, topk: int) -> SparseAttention:
    return SparseAttention(store, TorchAttention(store), tiny_indexer(), topk, AlwaysReady())


def group_of(length: int, first: int) -> Group:
    """One sequence whose pages lie in no order."""
    order = torch.randperm(PAGES, generator=torch.Generator().manual_seed(7)) + 1
    return Group(order[None, : -(-length // PAGE)], torch.tensor([first]), length - first)


@pytest.mark.parametrize("topk", [40, 60, 99])
@pytest.mark.parametrize("last", [1, 4, 30])
def test_the_cache_gives_what_the_whole_text_gives(topk: int, last: int) -> None:
    """A prompt, then ``last`` tokens: one by one or as a chunk; against no cache at all."""
    length, store = 100, make_store()
    query, key, value = parts(length, 0)
    indexer = tiny_indexer()
    expected = chosen_attention(by_indexer(indexer), topk, length, [])(1, query, key, value)
    attention = make(store, topk)
    split = length - last
    got = [
        attention.bind(group_of(end, start))(1, query[start:end], key[start:end], value[start:end])
        for start, end in ((0, split), (split, length))
    ]
    assert torch.allclose(torch.cat(got), expected, atol=1e-5)


@pytest.mark.parametrize("width", [4, 40])
def test_with_room_for_all_it_is_full_attention(width: int) -> None:
    """90 tokens in pages for 92: the sparse code runs and chooses all of them."""
    length = 90
    query, key, value = parts(length, 1)
    sparse_store, full_store = make_store(), make_store()
    sparse, full = make(sparse_store, length), TorchAttention(full_store)
    for start, end in ((0, length - width), (length - width, length)):
        rows = slice(start, end)
        ours = sparse.bind(group_of(end, start))(0, query[rows], key[rows], value[rows])
        theirs = full.bind(group_of(end, start))(0, query[rows], key[rows], value[rows])
        assert torch.allclose(ours, theirs, atol=1e-5)
    assert torch.equal(sparse_store.data, full_store.data)


def test_fetching_and_masking_are_the_same() -> None:
    """Two ways for one result, the width decides."""
    length, topk = 80, 50
    query, key, value = parts(length, 2)
    found = []
    for width in (sparse_attention.GATHER_WIDTH, sparse_attention.GATHER_WIDTH + 1):
        attention = make(make_store(), topk)
        start = length - width
        attention.bind(group_of(start, 0))(0, query[:start], key[:start], value[:start])
        rows = slice(start, length)
        found.append(
            attention.bind(group_of(length, start))(0, query[rows], key[rows], value[rows])
        )
    assert torch.allclose(found[0], found[1][1:], atol=1e-5)


def test_several_sequences_at_once() -> None:
    """Rows of different lengths in one group; padding of the page table changes nothing."""
    lengths, topk, store = [90, 45], 40, make_store()
    attention = make(store, topk)
    tables = [torch.arange(1, 24), torch.cat([torch.arange(24, 36), torch.zeros(11)]).long()]
    texts = [parts(length, seed) for seed, length in enumerate(lengths)]
    alone = []
    for table, length, text in zip(tables, lengths, texts, strict=True):
        before = Group(table[None], torch.tensor([0]), length - 2)
        attention.bind(before)(0, *(part[:-2] for part in text))
        alone.append(
            attention.bind(Group(table[None], torch.tensor([length - 2]), 2))(
                0, *(part[-2:] for part in text)
            )
        )
    together = Group(torch.stack(tables), torch.tensor(lengths) - 2, 2)
    rows = [torch.cat([text[part][-2:] for text in texts]) for part in range(3)]
    got = attention.bind(together)(0, rows[0], rows[1], rows[2])
    assert torch.allclose(got, torch.cat(alone), atol=1e-5)


@pytest.mark.parametrize("part", ["index", "kv"])
def test_a_foreign_page_is_seen_where_it_is_read(part: str) -> None:
    """The index cache has tags of its own: a page of it alone may be wrong."""
    length, topk, store = 90, 40, make_store()
    query, key, value = parts(length, 4)
    plain = group_of(length, 0)
    expected = torch.arange(1, plain.page_table.shape[1] + 1)[None]

    def run(first: int) -> int:
        flags = torch.zeros(1, dtype=torch.int32)
        group = Group(plain.page_table, torch.tensor([first]), length - first, expected, flags)
        rows = slice(first, length)
        make(store, topk).bind(group)(1, query[rows], key[rows], value[rows])
        return int(flags[0])

    assert run(0) == 0
    assert run(length - 2) == 0
    blocks = store.index if part == "index" else store.kv
    assert blocks is not None
    blocks.tails[1, plain.page_table[0, 3]] = 999 << 2
    assert run(length - 2) == 1


def test_index_pages_are_copied_zeroed_and_tagged_with_the_others() -> None:
    store = make_store()
    assert store.index is not None
    store.index.data[:] = torch.randn(store.index.data.shape)
    store.tag_pages([3], [17], Mover.LOAD)
    store.copy_pages([3], [5])
    assert torch.equal(store.index.blocks[:, 3], store.index.blocks[:, 5])
    assert (store.index.heads[:, 5] >> 2 == 17).all()
    store.zero_layers([5], [1, SHAPE.num_layers])
    assert not store.index.blocks[1, 5].any()
    assert store.index.blocks[0, 5].any()


@pytest.mark.parametrize("wrong", [None, ("tails", 1, 3), ("tails", 0, 5), ("tails", 1, 12)])
def test_the_check_of_a_gpu_finds_what_the_other_finds(wrong: tuple[str, int, int] | None) -> None:
    """In its own, fixed number of operations; both claim the pages that rows begin."""
    lengths, width = torch.tensor([30, 21]), 6
    table = torch.stack([torch.arange(1, 10), torch.arange(11, 20)])
    expected = table + 100
    found = []
    for kind in (TagCheck, DeviceCheck):
        store = make_store()
        store.tag_pages(table.flatten().tolist(), expected.flatten().tolist(), Mover.COMPUTE)
        flags = torch.zeros(2, dtype=torch.int32)
        group = Group(table, lengths - width, width, expected, flags)
        begun = [page for row in table for page in row[6:].tolist()]
        store.heads[:, begun] = 0
        store.tails[:, begun] = 0
        if wrong is not None:
            name, layer, page = wrong
            getattr(store, name)[layer, page] = 7 << 2
        check = kind(store, group)
        for layer in range(2):
            check.wrote(layer)
            check.before(layer)
        read = torch.cat([table[0, :8], table[1, :6]])
        tags = torch.stack([store.heads, store.tails])[:, :2, read]
        found.append((flags.tolist(), tags.tolist()))
    assert found[0] == found[1]
    expected_flags = {None: [0, 0], 3: [1, 0], 5: [1, 0], 12: [0, 1]}
    assert found[0][0] == expected_flags[None if wrong is None else wrong[2]]
