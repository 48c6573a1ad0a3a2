"""Tiny engines with a host tier, and what is done to them in its tests."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from inference_backend.engine.engine import Engine
from inference_backend.engine.request import GenerationRequest
from inference_backend.hicache.host_cache import HostCache
from tests.fakes.copies import OddCopies
from tests.fakes.engine_runs import Generation, check_pages, finish, prompt, request
from tests.fakes.tiny_indexer import tiny_indexer
from tests.fakes.tiny_model import SHAPE, tiny_engine

PAGES, HOST_PAGES, TOPK = 48, 200, 40
LONG = prompt(120, seed=5)


@contextmanager
def engine_with_host(*, sparse: bool = True, **options: Any) -> Iterator[tuple[Engine, HostCache]]:
    device = options.get("device", "cpu")
    indexer = tiny_indexer(options.get("shape", SHAPE), device=device) if sparse else None
    options = {"pages": PAGES, "host_pages": HOST_PAGES} | options
    engine = tiny_engine(indexer=indexer, index_topk=TOPK, **options)
    assert engine.host is not None
    try:
        yield engine, engine.host
    finally:
        engine.host.close()


def evict(engine: Engine) -> None:
    """Other prompts until nothing of the earlier ones is on the device."""
    for seed in (91, 92):
        finish(engine, [request(f"evict{seed}{random.random()}", prompt(150, seed), 8)])


def settle(engine: Engine, host: HostCache) -> None:
    """Nothing is running: waits for the loads that still are, and checks that nothing is lost."""
    deadline = time.monotonic() + 10
    while engine.scheduler.cache.num_draining and time.monotonic() < deadline:
        time.sleep(0.005)
        engine.scheduler.cache.reap()
    check_pages(engine)
    host.loader.close()
    host.check_integrity()


def misbehave(host: HostCache, before: Callable[[str, int], None]) -> OddCopies:
    copies = OddCopies(host.store, before)
    host.loader.copies = copies
    return copies


def finish_while_loading(engine: Engine, wanted: GenerationRequest) -> Generation:
    """As ``finish``, where a load keeps pages meanwhile."""
    generation = Generation()
    engine.add(wanted)
    while engine.has_work:
        generation.outputs += engine.step()
    return generation
