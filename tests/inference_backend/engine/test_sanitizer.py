"""The sanitizer finds every token that was computed from wrong cache, and no other."""

from collections.abc import Callable

import pytest

from inference_backend.engine.engine import Engine
from inference_backend.engine.faults import FaultKind, FaultPlan
from inference_backend.engine.request import FinishReason
from inference_backend.engine.sequence import Sequence
from inference_backend.kv.epochs import Mover, tag_of
from inference_backend.kv.labels import Corruption, KvLabels, Writer
from inference_backend.kv.lease import Lease
from inference_backend.kv.sanitizer import KvSanitizer, SanitizerMode
from tests.fakes.engine_runs import Generation, finish, prompt, recomputed, request
from tests.fakes.tiny_model import tiny_engine, tiny_model

MODEL = tiny_model()
LENGTH = 40


def checked_engine(mode: SanitizerMode = SanitizerMode.RECORD, *, pages: int = 256) -> Engine:
    return tiny_engine(sanitizer=mode, pages=pages)


def sanitizer_of(engine: Engine) -> KvSanitizer:
    assert engine.inspection is not None
    return engine.inspection.sanitizer


def run_until(engine: Engine, name: str, tokens: int) -> Sequence:
    """Steps until the request has that many tokens; returns its sequence."""
    while True:
        for sequence in engine.scheduler.running:
            if sequence.request_id == name and sequence.completion_tokens >= tokens:
                return sequence
        engine.step()


def lease_of(sequence: Sequence) -> Lease:
    assert sequence.lease is not None
    return sequence.lease


def late_write(engine: Engine, page: int, source: int, epoch: int) -> None:
    """What a prefill that was not told does: another request's data, tagged for the old epoch."""
    store = engine.runner.store
    store.copy_pages([source], [page])
    store.tag_pages([page], [epoch], Mover.TRANSFER)


def labels(generation: Generation) -> KvLabels:
    found = generation.last.labels
    assert found is not None
    return found


@pytest.mark.parametrize("drafts", [0, 3])
def test_healthy_traffic_is_never_flagged(drafts: int) -> None:
    """Preemptions, shared prefixes, evictions, salts, aborts: every page is what it should be."""
    engine = tiny_engine(sanitizer=SanitizerMode.STOP, pages=40, num_drafts=drafts, chunk_tokens=16)
    shared = prompt(20, 1)
    for wave in range(4):
        requests = [
            request(f"{wave}-{n}", shared[: 4 * n] + prompt(9, 10 * wave + n), LENGTH)
            for n in range(6)
        ]
        found = finish(engine, requests)
        for each in requests:
            assert found[each.request_id].last.labels is None
            assert found[each.request_id].reason is FinishReason.LENGTH
    assert engine.scheduler.preemptions > 0
    assert engine.sanitizer_records() == []
    assert engine.snapshot(is_alive=True).corrupted_generations_total == 0


def test_a_late_write_is_named_with_its_request() -> None:
    engine = checked_engine()
    dead = engine.scheduler.cache.open(prompt(8, 5), "", 8, "aborted-one")
    assert dead is not None
    old = dead.epochs[0]
    engine.scheduler.cache.close(dead)
    engine.add(request("victim", prompt(18, 7), LENGTH))
    engine.add(request("bystander", prompt(18, 8), LENGTH))
    victim = run_until(engine, "victim", 6)
    onset = victim.completion_tokens
    source = lease_of(run_until(engine, "bystander", 0)).pages[0]
    late_write(engine, lease_of(victim).pages[1], source, old)
    found = finish(engine)
    truth = labels(found["victim"])
    assert truth.first_token == onset
    assert truth.tokens == {Corruption.FOREIGN: LENGTH - onset}
    assert truth.writers == [Writer("aborted-one", "transfer")]
    assert found["bystander"].last.labels is None
    assert [record.request_id for record in engine.sanitizer_records()] == ["victim"]
    snapshot = engine.snapshot(is_alive=True)
    assert snapshot.corrupted_tokens_total[Corruption.FOREIGN] == LENGTH - onset
    assert snapshot.corrupted_generations_total == 1


def test_a_page_that_was_never_filled_is_stale() -> None:
    engine = checked_engine()
    engine.add(request("victim", prompt(18, 7), LENGTH))
    victim = run_until(engine, "victim", 6)
    engine.runner.store.zero_layers([lease_of(victim).pages[0]], [1])
    truth = labels(finish(engine)["victim"])
    assert set(truth.tokens) == {Corruption.STALE}
    assert truth.writers == []


def test_a_page_that_arrives_while_it_is_read_is_unready() -> None:
    """One step reads it too early; the tokens after it are computed from what came of that."""
    engine = checked_engine()
    engine.add(request("victim", prompt(18, 7), LENGTH))
    victim = run_until(engine, "victim", 6)
    page, store = lease_of(victim).pages[0], engine.runner.store
    right = store.tails[1, page].clone()
    store.tails[1, page] = 0
    arrives_during(engine, lambda: store.tails[1, page].copy_(right))
    truth = labels(finish(engine)["victim"])
    assert truth.tokens.keys() == {Corruption.UNREADY, Corruption.DERIVED}
    assert truth.tokens[Corruption.UNREADY] <= 4


def arrives_during(engine: Engine, arrive: Callable[[], object]) -> None:
    """``arrive`` happens after the next step has been computed and before it is looked at."""
    run = engine.runner.run

    def run_once(plan: object) -> object:
        result = run(plan)  # type: ignore[arg-type]
        arrive()
        engine.runner.run = run  # type: ignore[method-assign]
        return result

    engine.runner.run = run_once  # type: ignore[method-assign, assignment]


def test_who_finds_a_prefix_computed_from_wrong_cache_inherits_the_label() -> None:
    engine = checked_engine()
    start = prompt(18, 7)
    engine.add(request("victim", start, LENGTH))
    victim = run_until(engine, "victim", 6)
    engine.runner.store.zero_layers([lease_of(victim).pages[0]], [1])
    page, epoch = lease_of(victim).pages[0], lease_of(victim).epochs[0]
    finish(engine)
    engine.runner.store.tag_pages([page], [epoch], Mover.LOAD)  # those computed from it are meant
    found = finish(engine, [request("again", victim.tokens[:48], 4)])["again"]
    assert found.last.cached_tokens > 24
    assert set(labels(found).tokens) == {Corruption.DERIVED}


def test_stop_ends_before_a_wrong_token_leaves_and_cleans_up() -> None:
    engine = checked_engine(SanitizerMode.STOP)
    start = prompt(18, 7)
    healthy = recomputed(MODEL, start, LENGTH)
    engine.add(request("victim", start, LENGTH))
    outputs = engine.step()
    victim = run_until(engine, "victim", 1)
    engine.runner.store.zero_layers([lease_of(victim).pages[0]], [0, 1])
    found = finish(engine)["victim"]
    assert [token for output in outputs for token in output.token_ids] == healthy[:1]
    assert found.tokens == []
    assert found.reason is FinishReason.ABORT
    assert "corrupted" in (found.last.abort_message or "")
    again = finish(engine, [request("again", start, LENGTH)])["again"]
    assert again.tokens == healthy
    assert again.last.labels is None


def test_stop_within_the_prompt() -> None:
    """A chunk that is not the last one: there is no token yet."""
    engine = tiny_engine(sanitizer=SanitizerMode.STOP, chunk_tokens=8)
    engine.add(request("victim", prompt(40, 7), 5))
    engine.step()
    victim = engine.scheduler.running[0]
    engine.runner.store.zero_layers([lease_of(victim).pages[0]], [0])
    found = finish(engine)["victim"]
    assert found.tokens == []
    assert found.reason is FinishReason.ABORT


def leak(mode: SanitizerMode) -> tuple[list[int], list[int], FinishReason | None]:
    """The victim's answer after another user's pages came to stand where its prompt was.

    Returns it, what the other user's prompt would have given, and how it ended.
    """
    engine = checked_engine(mode)
    secret, own = prompt(17, 21), prompt(17, 22)
    own[-1] = secret[-1]
    cache = engine.scheduler.cache
    writer = finish(engine, [request("secret", secret, 1)])
    assert writer["secret"].reason is FinishReason.LENGTH
    pages = cache.prefix.match(secret[:16], "")
    old = cache.epochs.current(pages[0])
    engine.add(request("victim", own, LENGTH))
    engine.step()
    # The last prompt token is computed again, as after a rejected draft: no difference but cache.
    victim = run_until(engine, "victim", 1)
    for target, source in zip(lease_of(victim).pages[:4], pages, strict=True):
        late_write(engine, target, source, old)
    found = finish(engine)["victim"]
    first = victim.tokens[17]
    return found.tokens, recomputed(MODEL, [*secret, first], LENGTH - 1), found.reason


@pytest.mark.parametrize("mode", [SanitizerMode.OFF, SanitizerMode.RECORD])
def test_without_stop_one_user_gets_what_belongs_to_another(mode: SanitizerMode) -> None:
    """Fluent, at matching positions: nothing in the numbers or the text gives it away."""
    answer, others, reason = leak(mode)
    assert reason is FinishReason.LENGTH
    assert answer == others


def test_stop_prevents_the_leak() -> None:
    answer, _, reason = leak(SanitizerMode.STOP)
    assert reason is FinishReason.ABORT
    assert answer == []


def test_drills_that_move_pages_are_seen_as_what_they_simulate() -> None:
    for kind, expected in (
        (FaultKind.FOREIGN_PAGES, Corruption.FOREIGN),
        (FaultKind.ZERO_LAYERS, Corruption.STALE),
    ):
        engine = checked_engine()
        engine.set_faults(FaultPlan(kind=kind, rate=1.0, after_tokens=4, seed=1))
        found = finish(engine, [request(name, prompt(18, ord(name)), LENGTH) for name in "abcd"])
        onsets = {each.request_id: each.damaged_from_token for each in engine.fault_records()}
        assert onsets
        for name, onset in onsets.items():
            assert expected in labels(found[name]).tokens
            assert labels(found[name]).first_token == onset


def test_a_torn_write_is_seen_by_either_tag() -> None:
    """Before the last tag is there, and after the first one has been replaced."""
    for words in ("heads", "tails"):
        engine = checked_engine()
        engine.add(request("victim", prompt(18, 7), LENGTH))
        victim = run_until(engine, "victim", 6)
        page = lease_of(victim).pages[1]
        getattr(engine.runner.store, words)[0, page] = tag_of(10**6, Mover.LOAD)
        truth = labels(finish(engine)["victim"])
        assert set(truth.tokens) == {Corruption.FOREIGN}
        assert truth.writers == [Writer(None, "load")]
