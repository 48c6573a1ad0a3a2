"""Owners of layers, the order of a pass, and what a rank stores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_backend.parallel.accounting import (
    PageBytes,
    pages_within,
    staging_bytes,
    stored_bytes,
)
from inference_backend.parallel.owners import KvLayout, LayerOwners
from inference_backend.parallel.schedule import SLOTS, Unit, plan_pass

OWNERS = st.builds(LayerOwners, st.integers(1, 80), st.integers(1, 12), st.booleans())


@given(OWNERS)
def test_every_layer_has_one_owner_and_ranks_differ_by_one(owners: LayerOwners) -> None:
    owned = [owners.owned(rank) for rank in range(owners.ranks)]
    layers = sorted(layer for each in owned for layer in each)
    assert layers == list(range(owners.num_layers + owners.has_draft))
    counts = [len(each) for each in owned]
    assert max(counts) - min(counts) <= 1
    for each in owned:
        assert [owners.place(layer) for layer in each] == list(range(len(each)))


def test_the_draft_heads_layer_is_the_first_ranks() -> None:
    owners = LayerOwners(5, 4, has_draft=True)
    assert [owners.owned(rank) for rank in range(4)] == [[3, 5], [0, 4], [1], [2]]
    assert LayerOwners(5, 4).owned(0) == [0, 4]


@given(OWNERS, st.lists(st.integers(0, 3), min_size=1, max_size=4), st.sampled_from([0, 1]))
def test_no_slot_is_filled_while_it_is_read_and_nothing_is_read_before_it_is_sent(
    owners: LayerOwners, pages: list[int], ahead: int
) -> None:
    """Played through: a slot belongs to a unit from its issue until the unit was computed."""
    holds: dict[int, Unit] = {}
    sent: list[Unit] = []
    for step in plan_pass(owners, pages, ahead):
        for unit in step.issue:
            assert unit.slot not in holds, "the slot is still to be read"
            assert unit.number <= step.unit.number + ahead
            holds[unit.slot] = unit
            sent.append(unit)
        if step.unit.pages:
            assert holds.pop(step.unit.slot) == step.unit
        else:
            assert step.unit.slot not in holds
    assert holds == {}
    assert [unit.number for unit in sent] == sorted(
        layer * len(pages) + group
        for layer in range(owners.num_layers)
        for group, count in enumerate(pages)
        if count
    )
    assert all(unit.owner == owners.owner(unit.layer) for unit in sent)


def test_one_unit_ahead_is_under_way_while_another_is_computed() -> None:
    steps = plan_pass(LayerOwners(3, 2), [5], ahead=1)
    assert [[unit.layer for unit in step.issue] for step in steps] == [[0, 1], [2], []]
    steps = plan_pass(LayerOwners(3, 2), [5], ahead=0)
    assert [[unit.layer for unit in step.issue] for step in steps] == [[0], [1], [2]]


def test_two_units_ahead_would_need_a_third_slot() -> None:
    with pytest.raises(AssertionError, match="two slots"):
        plan_pass(LayerOwners(3, 2), [5], ahead=2)


def test_split_stores_a_share_and_staging() -> None:
    size, owners = PageBytes(kv=800, index=100), LayerOwners(10, 4)
    replicated = [stored_bytes(size, owners, KvLayout.REPLICATED, rank, 7) for rank in range(4)]
    assert replicated == [7 * 10 * 900] * 4
    split = [stored_bytes(size, owners, KvLayout.SPLIT, rank, 7) for rank in range(4)]
    assert split == [7 * 3 * 900, 7 * 3 * 900, 7 * 2 * 900, 7 * 2 * 900]
    assert sum(split) == replicated[0]
    assert staging_bytes(size, KvLayout.REPLICATED, 7) == 0
    assert staging_bytes(size, KvLayout.SPLIT, 7) == SLOTS * 7 * 900


def test_the_draft_heads_layer_has_no_index() -> None:
    size, owners = PageBytes(kv=800, index=100), LayerOwners(3, 2, has_draft=True)
    assert stored_bytes(size, owners, KvLayout.SPLIT, 0, 1) == 800 + 900
    assert stored_bytes(size, owners, KvLayout.SPLIT, 1, 1) == 2 * 900


@given(OWNERS, st.integers(0, 10**7), st.integers(0, 50), st.sampled_from(list(KvLayout)))
def test_what_fits_fits_and_one_page_more_does_not(
    owners: LayerOwners, budget: int, staged: int, layout: KvLayout
) -> None:
    size = PageBytes(kv=800, index=100)
    pages = pages_within(budget, size, owners, layout, staged)

    def needed(count: int) -> int:
        most = max(stored_bytes(size, owners, layout, rank, count) for rank in range(owners.ranks))
        return most + staging_bytes(size, layout, staged)

    assert pages == 0 or needed(pages) <= budget
    assert needed(pages + 1) > budget
