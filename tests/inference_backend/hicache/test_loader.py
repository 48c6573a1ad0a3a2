"""Loads: in which order, what is waited for, and how they end early."""

import threading
from collections.abc import Callable, Iterator

import pytest
import torch

from inference_backend.hicache.host_index import HostPage
from inference_backend.hicache.host_store import HostStore
from inference_backend.hicache.load import HostLoad
from inference_backend.hicache.loader import Loader
from inference_backend.hicache.readiness import LoadReadiness, LoadSync
from inference_backend.kv.epochs import Mover, read_tag, tag_of
from inference_backend.kv.store import KvStore
from tests.fakes.copies import OddCopies, StuckAt, broken_at, slow
from tests.fakes.tiny_model import SHAPE

LAYERS = SHAPE.num_layers
EPOCHS = {1: 11, 2: 12}
NEW_EPOCHS = {4: 21, 5: 22}


def make_store() -> KvStore:
    """Pages 1 and 2 hold numbers of allocations 11 and 12."""
    store = KvStore(SHAPE, 6, 4, torch.device("cpu"), torch.float32, index_dim=8)
    assert store.index is not None
    for page in EPOCHS:
        store.data[:, page] = torch.randn(store.data.shape[2:])
        store.index.data[:, page] = torch.randn(4, 8)
        store.tail_hidden[page] = torch.randn(SHAPE.hidden_size)
    store.tag_pages(list(EPOCHS), list(EPOCHS.values()), Mover.COMPUTE)
    return store


def saved(store: KvStore) -> HostStore:
    host = HostStore(store, 3)
    for page in EPOCHS:
        host.save(page, page)
    return host


def make_load() -> HostLoad:
    sources = [HostPage(b"", page, epoch, False) for page, epoch in EPOCHS.items()]
    return HostLoad(sources, list(NEW_EPOCHS), list(NEW_EPOCHS.values()), LAYERS + 1, LAYERS)


@pytest.fixture
def loaders() -> Iterator[Callable[[OddCopies | HostStore], Loader]]:
    made: list[Loader] = []

    def make(copies: OddCopies | HostStore) -> Loader:
        made.append(Loader(copies))
        return made[-1]

    yield make
    for loader in made:
        loader.close()
        assert not loader.is_alive


Make = Callable[[OddCopies | HostStore], Loader]


def test_what_was_saved_comes_back_under_the_new_allocation(loaders: Make) -> None:
    """Data, index, tail states; the saved pages have other content by then."""
    store = make_store()
    assert store.index is not None
    host = saved(store)
    before = [store.data.clone(), store.index.data.clone(), store.tail_hidden.clone()]
    for page in EPOCHS:
        store.data[:, page] = 0
    load = make_load()
    loaders(host).submit(load)
    assert load.wait(10)
    assert load.failure is None
    for old, new in zip(EPOCHS, NEW_EPOCHS, strict=True):
        assert torch.equal(store.data[:, new], before[0][:, old])
        assert torch.equal(store.index.data[:, new], before[1][:, old])
        assert torch.equal(store.tail_hidden[new], before[2][old])
        for part in store.parts:
            for tags in (part.heads, part.tails):
                assert (tags[:, new] == tag_of(NEW_EPOCHS[new], Mover.LOAD)).all()


def test_foreign_content_keeps_its_tag(loaders: Make) -> None:
    """What was foreign when it was saved is still foreign when it comes back."""
    store = make_store()
    store.heads[1, 2] = tag_of(99, Mover.TRANSFER)
    load = make_load()
    loaders(saved(store)).submit(load)
    assert load.wait(10)
    assert read_tag(int(store.heads[1, 5])) == (99, Mover.TRANSFER)
    assert read_tag(int(store.tails[1, 5])) == (22, Mover.LOAD)
    assert read_tag(int(store.heads[0, 5])) == (22, Mover.LOAD)


def test_layers_arrive_in_order_keys_and_values_before_the_index(loaders: Make) -> None:
    copies = OddCopies(saved(make_store()), slow("kv", 0.0))
    load = make_load()
    loaders(copies).submit(load)
    assert load.wait(10)
    assert copies.seen == [
        ("tails", 0),
        *[(what, layer) for layer in range(LAYERS) for what in ("kv", "index")],
        ("kv", LAYERS),
    ]


@pytest.mark.parametrize("sync", list(LoadSync))
def test_what_a_layer_waits_for(sync: LoadSync, loaders: Make) -> None:
    """The index of layer 1 is stuck: with ``full`` its readers wait, with ``kv-only`` none does."""
    stuck = StuckAt("index", 1)
    load = make_load()
    loaders(OddCopies(saved(make_store()), stuck)).submit(load)
    readiness, passed = LoadReadiness(sync), threading.Event()

    def read() -> None:
        with readiness.reading([load]):
            readiness.before_index(0)
            readiness.before_kv(0)
            readiness.before_index(1)
            readiness.before_kv(1)
        passed.set()

    reader = threading.Thread(target=read)
    reader.start()
    assert passed.wait(0.3) == (sync is LoadSync.KV_ONLY)
    stuck.go_on.set()
    reader.join(10)
    assert passed.is_set()
    assert load.wait(10)


def test_nobody_waits_outside_of_a_pass_that_reads(loaders: Make) -> None:
    stuck = StuckAt("tails", 0)
    loaders(OddCopies(saved(make_store()), stuck)).submit(make_load())
    readiness = LoadReadiness(LoadSync.FULL, timeout_seconds=60)
    readiness.before_kv(0)
    stuck.go_on.set()


def test_a_failing_copy_fails_the_load_and_not_the_loader(loaders: Make) -> None:
    copies = OddCopies(saved(make_store()), broken_at("kv", 1))
    loader, first, second = loaders(copies), make_load(), make_load()
    loader.submit(first)
    assert first.wait(10)
    assert first.failure == "OSError: host memory is gone"
    readiness = LoadReadiness(LoadSync.FULL)
    with readiness.reading([first]):
        readiness.before_kv(1)  # does not wait for what never comes
    loader.copies = saved(make_store())
    loader.submit(second)
    assert second.wait(10)
    assert second.failure is None


def test_a_cancelled_load_is_over_only_when_its_last_write_is(loaders: Make) -> None:
    stuck = StuckAt("kv", 1)
    copies = OddCopies(saved(make_store()), stuck)
    load = make_load()
    loaders(copies).submit(load)
    assert stuck.reached.wait(10)
    assert not load.cancel()
    assert not load.wait(0.1)
    stuck.go_on.set()
    assert load.wait(10)
    assert ("kv", LAYERS) not in copies.seen
    assert load.cancel()


def test_a_load_that_hangs_is_given_up_and_not_over(loaders: Make) -> None:
    stuck = StuckAt("kv", 0)
    load = make_load()
    loaders(OddCopies(saved(make_store()), stuck)).submit(load)
    readiness = LoadReadiness(LoadSync.FULL, timeout_seconds=0.05)
    with readiness.reading([load]):
        readiness.before_kv(0)
        readiness.before_kv(1)  # not once more
    assert load.failure == "nothing arrived in 0.05 s"
    assert not load.is_over
    stuck.go_on.set()
    assert load.wait(10)
