"""Admission cannot deadlock: whatever is accepted ends, with however few pages."""

from hypothesis import given, settings
from hypothesis import strategies as st

from inference_backend.engine.request import GenerationRequest
from inference_backend.engine.scheduler import Scheduler, StepPlan
from inference_backend.engine.sequence import Sequence, make_sequence
from inference_backend.kv.lease import PageCache
from tests.fakes.engine_runs import request

LOOKAHEAD = 6


class Walk:
    """Runs plans without a model: every decoding step brings one to four tokens."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.left: dict[str, int] = {}

    def add(self, new: GenerationRequest) -> None:
        self.left[new.request_id] = new.sampling.max_new_tokens
        self.scheduler.add(make_sequence(new))

    def step(self, brought: int) -> StepPlan:
        plan = self.scheduler.plan()
        for chunk in plan.chunks:
            assert chunk.start < chunk.end <= chunk.sequence.prefill_target
            chunk.sequence.num_computed = chunk.end
            self.scheduler.publish(chunk.sequence)
            if chunk.is_last:
                self._append(chunk.sequence, 1)
        for sequence in plan.decodes:
            assert sequence.lease is not None
            room = len(sequence.lease.pages) * self.scheduler.cache.page_size
            assert room >= len(sequence.tokens) + LOOKAHEAD
            self._append(sequence, brought)
        self.scheduler.cache.check_integrity()
        return plan

    def _append(self, sequence: Sequence, count: int) -> None:
        name = sequence.request_id
        sequence.tokens += [1] * min(count, self.left[name])
        self.left[name] -= min(count, self.left[name])
        sequence.num_computed = sequence.prefill_target = len(sequence.tokens) - 1
        self.scheduler.publish(sequence)
        if self.left[name] == 0:
            self.scheduler.remove(sequence)
            del self.left[name]


sizes = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 40)), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    sizes=sizes,
    pages=st.integers(27, 60),
    page_size=st.sampled_from([4, 5, 8]),
    max_running=st.integers(1, 6),
    chunk_tokens=st.integers(8, 50),
    brought=st.integers(1, 4),
    same_prompt=st.booleans(),
)
def test_everything_accepted_is_finished(
    sizes: list[tuple[int, int]],
    pages: int,
    page_size: int,
    max_running: int,
    chunk_tokens: int,
    brought: int,
    same_prompt: bool,
) -> None:
    cache = PageCache(pages, page_size)
    scheduler = Scheduler(cache, max_running, chunk_tokens, LOOKAHEAD)
    walk = Walk(scheduler)
    for number, (length, new) in enumerate(sizes):
        if length + new <= scheduler.max_tokens:
            first = 0 if same_prompt else number
            walk.add(request(str(number), [first] * length, new))
    for _ in range(5000):
        if not walk.left:
            break
        assert not walk.step(brought).is_empty
    assert not walk.left
    assert cache.pool.num_available == pages


def test_the_oldest_keeps_its_pages() -> None:
    """The youngest yields, and is the first to come back."""
    scheduler = Scheduler(PageCache(24, 4), max_running=4, chunk_tokens=64, lookahead=LOOKAHEAD)
    walk = Walk(scheduler)
    for name in "abc":
        walk.add(request(name, [ord(name)] * 20, 30))
    while scheduler.preemptions == 0:
        walk.step(1)
    assert scheduler.running[0].request_id == "a"
    assert scheduler.waiting[0].request_id > scheduler.running[-1].request_id
    finished = []
    while walk.left:
        before = set(walk.left)
        walk.step(1)
        finished += sorted(before - set(walk.left))
    assert finished == ["a", "b", "c"]


def test_the_queue_is_served_in_order() -> None:
    """A short request does not overtake a long one that is waiting for pages."""
    scheduler = Scheduler(PageCache(12, 4), max_running=4, chunk_tokens=64, lookahead=LOOKAHEAD)
    walk = Walk(scheduler)
    walk.add(request("running", [1] * 20, 5))
    walk.step(1)
    walk.add(request("long", [2] * 30, 2))
    walk.add(request("short", [3], 1))
    walk.step(1)
    assert [s.request_id for s in scheduler.waiting] == ["long", "short"]


def test_who_yielded_is_not_admitted_only_to_yield_again() -> None:
    """Once, a preempted sequence came back in the very same plan and was preempted one step later,
    and so on: a whole prompt computed for each token."""
    scheduler = Scheduler(PageCache(14, 4), 4, 64, LOOKAHEAD)
    walk = Walk(scheduler)
    for number in range(4):
        walk.add(request(str(number), [number] * 8, 20))
    while walk.left:
        walk.step(1)
    assert 0 < scheduler.preemptions <= 4
