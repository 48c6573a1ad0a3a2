"""Ranks as processes; one is killed while a prompt is computed."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from torch.distributed import TCPStore  # type: ignore[attr-defined]  # exported, untyped

from inference_backend.engine.request import FinishReason, StepOutput
from inference_backend.parallel.leader import Leader
from tests.fakes.engine_runs import finish, prompt, request
from tests.fakes.rank_threads import Case, start_leader
from tests.fakes.rank_worker import HOST, case_of
from tests.fakes.tiny_indexer import tiny_indexer
from tests.fakes.tiny_model import tiny_engine

ROOT = Path(__file__).parents[3]
RANKS = 3
MODULE = "tests.fakes.rank_worker"


@contextmanager
def processes() -> Iterator[tuple[Case, Leader, dict[int, "subprocess.Popen[str]"]]]:
    """The first rank is this process."""
    limit = timedelta(seconds=60)
    store = TCPStore(HOST, 0, is_master=True, wait_for_workers=False, timeout=limit)
    children = {
        name: subprocess.Popen(
            [sys.executable, "-m", MODULE, str(store.port), str(name), str(RANKS), "split"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in range(1, RANKS)
    }
    try:
        for child in children.values():
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        case = case_of(RANKS, "split")
        leader = start_leader(case, store, lambda name: children[name].poll() is None)
        yield case, leader, children
        leader.stop()
    finally:
        for child in children.values():
            child.kill()
            child.wait()
            assert child.stdout is not None
            child.stdout.close()


def expected(text: list[int]) -> list[int]:
    single = tiny_engine(num_drafts=0, indexer=tiny_indexer(), index_topk=case_of(1, "split").topk)
    return finish(single, [request("a", text, 1)])["a"].tokens


def test_a_killed_rank_fails_the_request_and_the_others_go_on() -> None:
    """Three processes: the prompt that is being computed ends with a clear message, well before the
    time limit of an operation; the one that waited, and later ones, are computed by the two that
    are left, from an empty cache.
    """
    text, other = prompt(150, seed=61), prompt(90, seed=62)
    with processes() as (case, leader, children):
        engine = leader.engine
        assert finish(engine, [request("before", text, 1)])["before"].tokens == expected(text)
        layers = 0

        def kill(_layer: int, _chunks: object) -> None:
            nonlocal layers
            layers += 1
            if layers == 1:
                children[2].kill()
                children[2].wait()

        engine.runner.on_layer = kill
        engine.add(request("during", other, 1))
        began = time.monotonic()
        ended: list[StepOutput] = []
        while not ended:
            ended = engine.step()
        assert time.monotonic() - began < case.timeout_seconds
        assert ended[0].finish_reason is FinishReason.ABORT
        assert ended[0].is_transfer_failure
        assert "a rank was lost" in (ended[0].abort_message or "")
        assert leader.members == [0, 1]
        after = finish(engine, [request("after", text, 1), request("again", other, 1)])
        assert after["after"].tokens == expected(text)
        assert after["after"].last.cached_tokens == 0
        assert after["again"].tokens == expected(other)
        warm = finish(engine, [request("warm", text, 1)])["warm"]
        assert (warm.tokens, warm.last.cached_tokens) == (expected(text), 148)

        children[1].kill()
        children[1].wait()
        engine.add(request("lost", [*text, 5], 1))
        while not (ended := engine.step()):
            pass
        assert ended[0].finish_reason is FinishReason.ABORT
        assert leader.members == [0]
        alone = finish(engine, [request("alone", text, 1)])["alone"]
        assert alone.tokens == expected(text)
        engine.scheduler.cache.check_integrity()
