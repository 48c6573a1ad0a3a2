"""Drills damage exactly the generations they say, and nobody else."""

from collections.abc import Iterable

import pytest
import torch

from inference_backend.engine.engine import Engine
from inference_backend.engine.faults import FaultKind, FaultPlan
from inference_backend.engine.request import FinishReason
from inference_backend.errors import InvalidRequest
from tests.fakes.engine_runs import Generation, check_pages, finish, prompt, recomputed, request
from tests.fakes.tiny_model import tiny_engine, tiny_model

MODEL = tiny_model()
NAMES = "abcdef"


def plan(kind: FaultKind = FaultKind.NOISE, rate: float = 1.0, **others: float) -> FaultPlan:
    return FaultPlan(kind=kind, rate=rate, after_tokens=4, seed=1, **others)


def run(
    engine: Engine, names: Iterable[str] = NAMES, new_tokens: int = 40
) -> dict[str, Generation]:
    return finish(engine, [request(name, prompt(18, ord(name)), new_tokens) for name in names])


def healthy(name: str, new_tokens: int = 40) -> list[int]:
    return recomputed(MODEL, prompt(18, ord(name)), new_tokens)


@pytest.mark.parametrize("kind", FaultKind)
def test_rate_zero_touches_nobody(kind: FaultKind) -> None:
    engine = tiny_engine()
    engine.set_faults(plan(kind, rate=0.0))
    found = run(engine)
    assert engine.fault_records() == []
    assert all(found[name].tokens == healthy(name) for name in NAMES)


@pytest.mark.parametrize("kind", FaultKind)
def test_rate_one_damages_everybody_and_the_record_says_from_where(kind: FaultKind) -> None:
    engine = tiny_engine()
    engine.set_faults(plan(kind))
    found = run(engine)
    records = {record.request_id: record for record in engine.fault_records()}
    assert set(records) == set(NAMES)
    for name, record in records.items():
        onset = record.damaged_from_token
        assert onset >= 4
        assert record.kind is kind
        assert record.completion_tokens == 40
        assert record.finish_reason is FinishReason.LENGTH
        assert found[name].tokens[:onset] == healthy(name)[:onset]
    assert sum(found[name].tokens != healthy(name) for name in NAMES) >= 4


def test_only_the_chosen_ones_change() -> None:
    engine = tiny_engine(max_running=8)
    engine.set_faults(plan(FaultKind.NOISE, rate=0.5))
    found = run(engine)
    damaged = {record.request_id for record in engine.fault_records()}
    assert 0 < len(damaged) < len(NAMES)
    for name in set(NAMES) - damaged:
        assert found[name].tokens == healthy(name)


@pytest.mark.parametrize("kind", [FaultKind.NOISE, FaultKind.ZERO_LAYERS])
def test_those_who_share_a_prefix_with_a_damaged_one_stay_healthy(kind: FaultKind) -> None:
    """Also those that come later: damaged pages, and pages computed from them, are not found."""
    engine = tiny_engine()
    long = prompt(24, 9)
    finish(engine, [request("before", long, 2)])
    engine.set_faults(plan(kind, page_share=0.3))
    engine.add(request("sick", long, 60))
    while not engine.fault_records():
        engine.step()
    engine.set_faults(None)
    engine.add(request("beside", long, 30))
    finish(engine)
    after = [*long, *recomputed(MODEL, long, 50)]
    for name, tokens in (("again", long), ("longer", after)):
        found = finish(engine, [request(name, tokens, 20)])[name]
        assert found.tokens == recomputed(MODEL, tokens, 20)


@pytest.mark.parametrize("kind", [FaultKind.NOISE, FaultKind.ZERO_LAYERS])
@pytest.mark.parametrize("length", [3, 6])
def test_a_page_that_was_not_full_when_damaged_is_not_found_later(
    kind: FaultKind, length: int
) -> None:
    engine = tiny_engine(page_size=16)
    engine.set_faults(FaultPlan(kind=kind, rate=1.0, page_share=1.0, after_tokens=1, seed=1))
    sick = finish(engine, [request("sick", prompt(length), 40)])["sick"].tokens
    engine.set_faults(None)
    tokens = [*prompt(length), *sick]
    found = finish(engine, [request("next", tokens, 12)])["next"]
    assert found.last.cached_tokens == 0
    assert found.tokens == recomputed(MODEL, tokens, 12)


@pytest.mark.parametrize("kind", FaultKind)
def test_preempted_neighbours_of_damaged_ones_stay_healthy(kind: FaultKind) -> None:
    """Few pages and shared prompts: leases are closed and opened again all the time."""
    engine = tiny_engine(pages=34)
    engine.set_faults(plan(kind, rate=0.5))
    shared = prompt(17, 4)
    requests = [request(f"r{i}", [*shared, i], 40) for i in range(6)]
    found = finish(engine, requests)
    assert engine.scheduler.preemptions > 0
    damaged = {record.request_id for record in engine.fault_records()}
    assert damaged
    for i in range(6):
        if f"r{i}" not in damaged:
            assert found[f"r{i}"].tokens == recomputed(MODEL, [*shared, i], 40)


def test_layers_that_never_load_stay_with_their_generation_after_a_preemption() -> None:
    """It finds the shared prompt again; those pages must not be emptied under the other's feet."""
    engine = tiny_engine(pages=30)
    shared = prompt(24, 9)
    engine.add(request("old", shared, 60))
    while engine.snapshot(is_alive=True).generation_tokens_total < 6:
        engine.set_faults(plan(FaultKind.ZERO_LAYERS, rate=0.0))
        engine.step()
    engine.set_faults(plan(FaultKind.ZERO_LAYERS, layer_share=1.0))
    engine.add(request("sick", [*shared, 1], 60))
    while "old" in engine.running_ids():
        engine.step()
        assert not has_empty_pages(engine, "old")
    assert [record.request_id for record in engine.fault_records()] == ["sick"]
    assert engine.scheduler.preemptions > 1
    finish(engine)


def has_empty_pages(engine: Engine, name: str) -> bool:
    """Whether a full page of a running generation is all zeros in some layer."""
    store = engine.runner.store
    for sequence in engine.scheduler.running:
        if sequence.request_id == name and sequence.lease is not None:
            full = sequence.lease.pages[: sequence.num_computed // store.page_size]
            return bool((store.data[:, full].abs().amax(dim=(2, 3, 4, 5)) == 0).any())
    return False


@pytest.mark.parametrize("kind", FaultKind)
def test_stored_pages_really_change_and_only_the_victims(kind: FaultKind) -> None:
    engine = tiny_engine()
    for name in "ab":
        engine.add(request(name, prompt(18, ord(name)), 40))
    for _ in range(6):
        engine.step()
    victim, neighbour = engine.scheduler.running
    assert victim.lease is not None
    assert neighbour.lease is not None
    store = engine.runner.store
    before = store.data.clone()
    engine.injector.set_plan(plan(kind))
    engine.injector.before_step(
        [victim] if kind is not FaultKind.FOREIGN_PAGES else [victim, neighbour]
    )
    changed = {
        page
        for page in range(store.data.shape[1])
        if not torch.equal(before[:, page], store.data[:, page])
    }
    assert changed & set(victim.lease.pages)
    if kind is not FaultKind.FOREIGN_PAGES:
        assert changed <= set(victim.lease.pages)
    assert not any(page in engine.scheduler.cache.prefix for page in changed)


def test_an_aborted_generation_keeps_its_record() -> None:
    engine = tiny_engine()
    engine.set_faults(plan())
    engine.add(request("a", prompt(9), 100))
    while not engine.fault_records():
        engine.step()
    engine.abort("a")
    check_pages(engine)
    (record,) = engine.fault_records()
    assert record.finish_reason is FinishReason.ABORT
    assert record.completion_tokens >= record.damaged_from_token


@pytest.mark.parametrize("field", ["rate", "page_share", "layer_share"])
@pytest.mark.parametrize("value", [-0.01, 1.01, float("nan")])
def test_a_plan_out_of_range_is_refused(field: str, value: float) -> None:
    with pytest.raises(InvalidRequest, match=field):
        FaultPlan(kind=FaultKind.NOISE, **{"rate": 1.0, field: value})  # type: ignore[arg-type]
