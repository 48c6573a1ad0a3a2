"""What requests cost and delivered: bad output, waste, hold-back, exemplars, the series bound."""

import itertools
from typing import Any

import pytest

from detectors.draft_health import DraftState
from detectors.verdict import AnomalyKind
from monitor.catalog import CATALOG
from monitor.collector import (
    DetectorCollector,
    FleetCollector,
    Limits,
    LimitsCollector,
    MemoryCollector,
    StoreCollector,
    ejectable,
)
from monitor.engine_metrics.collector import EngineMetricsCollector
from monitor.engine_metrics.names import Quantity
from monitor.engine_metrics.reading import Reading
from monitor.engine_metrics.state import EngineStates
from monitor.metrics import Metrics
from monitor.monitor import Monitor
from monitor.records import attempt_facts
from monitor.store.memory import MemoryStore
from retry_proxy.events import AttemptOutcome, ReplicaState, RequestOutcome, RequestUnwatched
from tests.monitor.events import (
    REPLICA_A,
    attempt_ended,
    replica_changed,
    request_ended,
    request_id,
    stopped,
    verdict,
)
from tests.monitor.fakes import FakeFleet, FakeReplica

OPENMETRICS = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;q=0.5"
DETECTORS = ("acceptance", "repetition", "text", "fusion")
ENGINES = ("sglang", "vllm", "llamacpp")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample; ``None`` if there is no such series."""
    return metrics.registry.get_sample_value(name, labels)


@pytest.mark.parametrize(
    ("outcome", "leaked", "reason"),
    [
        (RequestOutcome.MARKED, 90, "marked"),
        (RequestOutcome.RETRIED_CLEAN, 5, "leaked"),
        (RequestOutcome.RETRIED_CLEAN, 0, None),
        (RequestOutcome.CLEAN, 0, None),
    ],
)
def test_bad_output_is_what_the_client_got(
    outcome: RequestOutcome, leaked: int, reason: str | None
) -> None:
    """A caught attempt of which nothing leaked is no bad output; one request counts once."""
    metrics = Metrics()
    metrics.request_ended(request_ended(outcome=outcome, leaked_tokens=leaked))
    for one in ("marked", "leaked"):
        expected = 1 if one == reason else None
        assert (
            value(metrics, "specwatch_bad_output_total", model="smollm2", outcome=one) == expected
        )


def test_waste_is_told_in_tokens_and_in_replica_time() -> None:
    """35 of 130 tokens of an attempt of 2 s."""
    metrics = Metrics()
    metrics.attempt_ended(stopped())
    assert value(metrics, "specwatch_wasted_tokens_total", outcome="anomaly") == 35
    seconds = value(metrics, "specwatch_wasted_seconds_total", outcome="anomaly")
    assert seconds == pytest.approx(2.0 * 35 / 130)


def test_acceptance_by_position_comes_from_exact_steps_only() -> None:
    """Three steps with 2, 0 and 3 accepted drafts; positions beyond the eighth are not told."""
    metrics = Metrics()
    metrics.attempt_ended(attempt_ended(accepted_per_step=bytes((2, 0, 3))))
    metrics.attempt_ended(attempt_ended(accepted_per_step=b""))
    at = {"model": "smollm2"}
    assert value(metrics, "specwatch_position_steps_total", **at) == 3
    name = "specwatch_position_accepted_total"
    told = [value(metrics, name, kind=str(n), **at) for n in (1, 2, 3, 4)]
    assert told == [2, 2, 1, None]
    metrics.attempt_ended(attempt_ended(accepted_per_step=bytes((30,))))
    assert value(metrics, name, kind="8", **at) == 1
    assert value(metrics, name, kind="9", **at) is None


def test_the_first_dispatch_tells_the_overhead_and_a_clock_set_back_is_none() -> None:
    """The attempt starts 3 ms after the request; another one before it."""
    metrics = Metrics()
    ended = request_ended(started_at=1000.0)
    metrics.request_ended(ended, attempt_facts(attempt_ended(started_at=1000.003)))
    metrics.request_ended(ended, attempt_facts(attempt_ended(started_at=990.0)))
    metrics.request_ended(ended)
    assert value(metrics, "specwatch_proxy_overhead_seconds_sum") == pytest.approx(0.003)
    assert value(metrics, "specwatch_proxy_overhead_seconds_count") == 2


def test_the_time_between_tokens_is_of_streamed_answers() -> None:
    """200 tokens in 2.3 s after the first byte; a whole answer has none."""
    metrics = Metrics()
    metrics.request_ended(request_ended())
    metrics.request_ended(request_ended(is_streaming=False))
    metrics.request_ended(request_ended(completion_tokens=1))
    name = "specwatch_between_tokens_seconds"
    assert value(metrics, f"{name}_count", model="smollm2") == 1
    assert value(metrics, f"{name}_sum", model="smollm2") == pytest.approx(2.3 / 199)


def test_the_hold_back_is_told_beside_its_bound() -> None:
    """Not before the bound is known."""
    metrics = Metrics()
    metrics.attempt_ended(attempt_ended(most_held_tokens=40, most_held_bytes=900))
    assert value(metrics, "specwatch_held_bytes_ratio_count") == 0
    metrics.max_held_bytes = 1000
    metrics.attempt_ended(attempt_ended(most_held_tokens=40, most_held_bytes=900))
    assert value(metrics, "specwatch_held_tokens_sum") == 80
    assert value(metrics, "specwatch_held_bytes_ratio_bucket", le="0.8") == 0
    assert value(metrics, "specwatch_held_bytes_ratio_bucket", le="0.95") == 1


def test_unwatched_requests_and_stalled_clients_are_counted() -> None:
    """By the monitor, from their events."""
    monitor = Monitor()
    monitor.emit(RequestUnwatched("/generate", "batch", 1000.0))
    monitor.emit(request_ended(client_stall_seconds=1.5))
    assert value(monitor.metrics, "specwatch_unwatched_requests_total", outcome="batch") == 1
    assert value(monitor.metrics, "specwatch_client_stall_seconds_total") == 1.5


def test_exemplars_carry_the_trace_only_where_openmetrics_is_asked_for() -> None:
    """The request's id is a trace id; nothing else of the request stands in it."""
    metrics = Metrics()
    metrics.attempt_ended(stopped(number=77))
    page = metrics.exposition(OPENMETRICS)
    assert page.media_type.startswith("application/openmetrics-text")
    assert f'# {{trace_id="{request_id(77)}"}}' in page.decode()
    assert page.decode().rstrip().endswith("# EOF")
    plain = metrics.exposition("text/plain")
    assert "trace_id" not in plain.decode()
    assert plain.media_type.startswith("text/plain")


@pytest.mark.parametrize(("share", "replicas", "allowed"), [(0, 9, 0), (0.3, 2, 1), (0.3, 64, 19)])
def test_how_many_may_be_ejected_is_the_fleet_s_own_rule(
    share: float, replicas: int, allowed: int
) -> None:
    assert ejectable(share, replicas) == allowed


def worst_day(metrics: Metrics) -> None:
    """Every replica serves every model, in every way that an attempt can end."""
    replicas = [f"http://10.0.0.{number}:30000" for number in range(64)]
    models = [f"model-{number}" for number in range(4)]
    engines = itertools.cycle(ENGINES)
    for replica, model, engine in zip(replicas * 4, models * 64, engines, strict=False):
        where: dict[str, Any] = {"replica": replica, "engine": engine, "attempt": 2}
        for outcome in AttemptOutcome:
            per_step = bytes(range(9))
            ended = attempt_ended(
                model=model, outcome=outcome, accepted_per_step=per_step, wasted_tokens=1, **where
            )
            metrics.attempt_ended(ended)
        for kind, detector in itertools.product(AnomalyKind, DETECTORS):
            found = verdict(kind=kind, detector=detector)
            metrics.attempt_ended(stopped(model=model, verdict=found, **where))
    for model, ended_as, leaked in itertools.product(models, RequestOutcome, (0, 5)):
        metrics.request_ended(request_ended(model=model, outcome=ended_as, leaked_tokens=leaked))
    metrics.request_ended(request_ended(model="made-up", outcome=RequestOutcome.REJECTED))
    fleet = FakeFleet(
        *(FakeReplica(one, draft_health=DraftState.DEAD, in_flight=1) for one in replicas)
    )
    for state in ReplicaState:
        metrics.replica_changed(replica_changed(state))
    states = EngineStates()
    for engine, replica in zip(itertools.cycle(ENGINES), replicas, strict=False):
        for growth in (1.0, 2.0):
            values = dict.fromkeys(Quantity, growth)
            states.take(replica, engine, Reading(values, dict.fromkeys(range(1, 9), growth)))
    limits = Limits(0.3, 1e-4, lambda: 10.0)
    for collector in (
        FleetCollector(fleet, metrics.replicas),
        LimitsCollector(limits, fleet),
        EngineMetricsCollector(states, metrics.replicas),
        StoreCollector(MemoryStore()),
        DetectorCollector(lambda: dict.fromkeys(DETECTORS, 1), lambda: 1.0),
        MemoryCollector(),
    ):
        metrics.registry.register(collector)


def test_series_are_bounded_at_64_replicas_and_4_models() -> None:
    """The worst day of such a fleet, and no more than 2,000 series of one instance."""
    metrics = Metrics()
    metrics.max_held_bytes = 1000
    worst_day(metrics)
    page = metrics.exposition().decode()
    series = [line for line in page.splitlines() if line and not line.startswith("#")]
    assert 1000 < len(series) <= 1950  # the judge and a few rare reasons take the rest
    assert f'replica="{REPLICA_A}"' in page  # a 65th, which was only seen to change
    told = {line.split("{")[0].split(" ")[0] for line in series}
    silent = [metric.name for metric in CATALOG if not metric.samples & told]
    assert {name for name in silent if "_judge_" not in name} == {
        "specwatch_events_dropped_total",
        "specwatch_fleet_troubles_total",
        "specwatch_retries_refused_total",
        "specwatch_unwatched_requests_total",
        "specwatch_config_info",
        "specwatch_hedges_total",
        "specwatch_baselines_refused_total",
        "specwatch_store_unreadable_total",
        "specwatch_recorded_total",
        "specwatch_record_dropped_total",
        "specwatch_record_up",
    }
