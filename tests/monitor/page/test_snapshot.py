"""What the page is told, and that no text of a prompt or an answer is in it."""

import json
import time
from dataclasses import replace

from detectors.verdict import AnomalyKind
from monitor.collector import Limits
from monitor.engine_metrics.names import Quantity
from monitor.engine_metrics.reading import Reading
from monitor.monitor import Monitor
from monitor.page.rows import STRIP_STEPS
from monitor.page.snapshot import MOST_INCIDENTS, MOST_OTHERS, PageSources, SnapshotBuilder
from retry_proxy.decide.budget import RetryBudget
from retry_proxy.events import ReplicaState, RequestOutcome, StepsQuality
from retry_proxy.stream.running import Running, RunningAttempt
from tests.monitor.events import REPLICA_A, REPLICA_B, attempt_ended, request_ended, stopped
from tests.monitor.fakes import FakeFleet, FakeReplica

SEEN = RunningAttempt(
    rid="r01",
    request_id="r",
    attempt=1,
    replica=REPLICA_A,
    engine="sglang",
    model="smollm2",
    started_at=1000.0,
    is_hedge=False,
    tokens=300,
    held_tokens=4,
    steps=100,
    drafted=300,
    accepted=200,
    recent_steps=bytes([3, 0, 2]),
)


class Stream:
    """A running attempt whose state the test sets; counts how often it is looked at."""

    def __init__(self, seen: RunningAttempt, *, is_suspect: bool = False) -> None:
        self.is_suspect = is_suspect
        self._seen = seen
        self.looks = 0

    def seen(self) -> RunningAttempt:
        self.looks += 1
        return self._seen


def builder(
    monitor: Monitor | None = None, running: Running | None = None, fleet: FakeFleet | None = None
) -> SnapshotBuilder:
    budget = RetryBudget(ratio=0.2, min_per_second=10.0)
    limits = Limits(0.3, 1e-4, lambda: 10.0)
    sources = PageSources(
        monitor or Monitor(), fleet or FakeFleet(), running or Running(), budget, limits
    )
    return SnapshotBuilder(sources)


async def test_an_empty_fleet_is_a_picture_too() -> None:
    tables = await builder().build()
    assert tables["streams"] == tables["incidents"] == {}
    assert set(tables["replicas"]) == {REPLICA_A, REPLICA_B}
    totals = tables["totals"]["now"]
    assert (totals["running"], totals["suspect"], totals["healthy"]) == (0, 0, 2)
    assert (totals["budget_left"], totals["budget_ratio"]) == (10, 0.2)
    assert totals["ejectable"] == 1


async def test_a_stream_with_its_strip() -> None:
    running = Running()
    running.begin("r01", Stream(SEEN))
    bare = replace(SEEN, rid="r02", steps=None, drafted=None, accepted=None, recent_steps=b"")
    running.begin("r02", Stream(replace(bare, kind=AnomalyKind.GARBLED), is_suspect=True))
    rows = (await builder(running=running).build())["streams"]
    assert list(rows) == ["r02", "r01"], "the suspect one first"
    one = rows["r01"]
    assert (one["strip"], one["drafts"]) == ("030002", 3)
    assert (one["accept_length"], one["accept_rate"]) == (3.0, 0.67)
    assert one["steps_quality"] is StepsQuality.EXACT
    two = rows["r02"]
    assert (two["strip"], two["drafts"], two["accept_length"]) == ("", None, None)
    assert two["kind"] is AnomalyKind.GARBLED


async def test_a_strip_is_as_long_as_the_page_shows() -> None:
    running = Running()
    running.begin("r01", Stream(replace(SEEN, recent_steps=bytes(range(256)))))
    strip = (await builder(running=running).build())["streams"]["r01"]["strip"]
    assert bytes.fromhex(strip) == bytes(range(256 - STRIP_STEPS, 256))


async def test_of_a_thousand_streams_only_those_that_are_shown_are_looked_at() -> None:
    """Each is asked whether it is suspect; a row is made of a few."""
    running = Running()
    streams = [Stream(replace(SEEN, rid=f"r{n}"), is_suspect=n == 700) for n in range(1000)]
    for number, stream in enumerate(streams):
        running.begin(f"r{number}", stream)
    build = builder(running=running)
    tables = await build.build()
    shown = list(tables["streams"])
    assert shown[0] == "r700"
    assert len(shown) == MOST_OTHERS + 1
    assert tables["totals"]["now"]["running"] == 1000
    assert sum(stream.looks for stream in streams) == len(shown)
    again = await build.build()
    assert list(again["streams"]) == shown
    running.end("r0")
    later = await build.build()
    assert set(shown) - set(later["streams"]) == {"r0"}


async def test_a_replica_with_its_last_minute_and_what_its_engine_tells() -> None:
    monitor = Monitor()
    monitor.emit(stopped(1))
    monitor.emit(attempt_ended(1, 2))
    values = {Quantity.RUNNING: 3.0, Quantity.WAITING: 0.0, Quantity.CACHE_USAGE: 0.257}
    monitor.engines.take(REPLICA_A, "sglang", Reading(values, {}))
    monitor.engines.fail(REPLICA_B, "vllm", "refused")
    sick = FakeReplica(REPLICA_B, ReplicaState.QUARANTINED, last_error="x" * 1000)
    tables = await builder(monitor, fleet=FakeFleet(FakeReplica(REPLICA_A), sick)).build()
    one, two = tables["replicas"][REPLICA_A], tables["replicas"][REPLICA_B]
    assert (one["recent_attempts"], one["recent_anomalies"], one["accept_length"]) == (2, 1, 2.0)
    assert (one["engine_running"], one["engine_waiting"], one["cache_usage"]) == (3.0, 0.0, 0.26)
    assert (two["state"], two["engine_error"], two["cache_usage"]) == (
        "quarantined",
        "refused",
        None,
    )
    assert len(two["last_error"]) == 300
    totals = tables["totals"]["now"]
    assert (totals["ejected"], totals["healthy"]) == (1, 1)
    assert (totals["recent_attempts"], totals["recent_retries"]) == (2, 1)


async def test_the_newest_incidents_without_text_even_where_it_was_captured() -> None:
    """The list tells numbers; captured text is shown with one incident, when that is asked for."""
    monitor = Monitor()
    for number in range(MOST_INCIDENTS + 5):
        monitor.emit(stopped(number, text_sample="a secret answer", model="m" * 5000))
    monitor.emit(request_ended(MOST_INCIDENTS + 4, outcome=RequestOutcome.RETRIED_CLEAN))
    tables = await builder(monitor).build()
    rows = tables["incidents"]
    assert len(rows) == MOST_INCIDENTS
    newest = next(iter(rows.values()))
    assert newest["onset_token"] == 90
    assert newest["request_outcome"] == "retried_clean"
    assert len(newest["model"]) == 120
    assert "secret" not in json.dumps(tables, default=str)


async def test_a_picture_of_a_thousand_streams_is_quick() -> None:
    """It is built on the loop that the streams need: most of the time is theirs."""
    running = Running()
    for number in range(1000):
        running.begin(f"r{number}", Stream(replace(SEEN, rid=f"r{number}")))
    build = builder(running=running)
    best = 1.0
    for _ in range(20):
        began = time.process_time()
        await build.build()
        best = min(best, time.process_time() - began)
    print(f"1,000 streams: {best * 1000:.2f} ms")
    assert best < 0.1
