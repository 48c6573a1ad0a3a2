"""A pass over pages: what was read is what was checked, by checks before and one at the end."""

from dataclasses import dataclass

import pytest
import torch

from inference_backend.kv.attention import TorchAttention
from inference_backend.kv.epochs import Mover
from inference_backend.kv.group import Group
from inference_backend.kv.page_check import check_end
from inference_backend.kv.store import KvStore
from tests.fakes.tiny_model import SHAPE

PAGE, WIDTH, FIRST = 4, 3, 10  # positions 10 to 12: the fourth page is begun in the pass
DRAFT_LAYER = SHAPE.num_layers
FOREIGN = 7 << 2


@dataclass
class Pass:
    """One sequence's verification step over the layers of the target."""

    store: KvStore
    group: Group

    def read(self, layer: int) -> None:
        heads = (SHAPE.num_heads, SHAPE.num_kv_heads, SHAPE.num_kv_heads)
        query, key, value = (torch.randn(WIDTH, count, SHAPE.head_dim) for count in heads)
        TorchAttention(self.store).bind(self.group)(layer, query, key, value)

    def end(self, *, has_drafts: bool = True) -> None:
        check_end(self.store, self.group, has_drafts=has_drafts)

    def write_foreign(self, layer: int, place: int) -> None:
        """Somebody's late write, as far as its first tag: that comes before any of its data."""
        self.store.heads[layer, int(self.group.page_table[0, place])] = FOREIGN

    @property
    def is_flagged(self) -> bool:
        assert self.group.flags is not None
        return bool(self.group.flags[0])


@pytest.fixture
def step() -> Pass:
    """Pages are full up to ``FIRST``; those behind it carry the tags of whoever had them before."""
    store = KvStore(SHAPE, 16, PAGE, torch.device("cpu"), torch.float32)
    table = torch.tensor([[5, 9, 3, 8, 12]])
    expected = table + 100
    store.tag_pages(table[0, :3].tolist(), expected[0, :3].tolist(), Mover.COMPUTE)
    store.tag_pages(table[0, 3:].tolist(), [50, 51], Mover.COMPUTE)
    flags = torch.zeros(1, dtype=torch.int32)
    return Pass(store, Group(table, torch.tensor([FIRST]), WIDTH, expected, flags))


def test_a_whole_pass_over_sound_pages_flags_nothing(step: Pass) -> None:
    for layer in range(SHAPE.num_layers):
        step.read(layer)
    step.end()
    assert not step.is_flagged


@pytest.mark.parametrize("place", [0, 2, 3])
def test_a_write_that_began_while_a_layer_was_read_is_seen_at_the_end(
    step: Pass, place: int
) -> None:
    """A page that the pass itself began, too."""
    step.read(0)
    step.write_foreign(0, place)
    step.read(1)
    assert not step.is_flagged
    step.end()
    assert step.is_flagged


def test_what_has_not_arrived_is_seen_before_it_is_read(step: Pass) -> None:
    """Also if it arrives before the pass ends."""
    page = int(step.group.page_table[0, 1])
    right = step.store.tails[1, page].clone()
    step.store.tails[1, page] = FOREIGN
    step.read(1)
    step.store.tails[1, page] = right
    step.end()
    assert step.is_flagged


def test_pages_that_were_not_read_do_not_matter(step: Pass) -> None:
    for layer in range(SHAPE.num_layers):
        step.read(layer)
    step.write_foreign(0, 4)
    step.end()
    assert not step.is_flagged


@pytest.mark.parametrize(("place", "is_seen"), [(2, True), (3, False)])
def test_of_the_draft_heads_layer_only_what_was_there_before_counts(
    step: Pass, place: int, *, is_seen: bool
) -> None:
    for layer in range(SHAPE.num_layers):
        step.read(layer)
    step.write_foreign(DRAFT_LAYER, place)
    step.end()
    assert step.is_flagged == is_seen


def test_without_drafts_nobody_looks_at_the_draft_heads_layer(step: Pass) -> None:
    for layer in range(SHAPE.num_layers):
        step.read(layer)
    step.store.heads[DRAFT_LAYER] = 0
    step.end(has_drafts=False)
    assert not step.is_flagged
