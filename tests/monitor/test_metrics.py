"""Each event moves the numbers it should, and no others."""

import pytest

from detectors.draft_health import DraftState
from detectors.verdict import AnomalyKind
from monitor.collector import DetectorCollector, FleetCollector, StoreCollector
from monitor.judge.collector import JudgeCollector
from monitor.judge.opinion import Opinion
from monitor.judge.report import Dropped, Source
from monitor.labels import OTHER
from monitor.metrics import MODEL_LIMIT, RETRY_OUTCOME, Metrics
from monitor.ports import StoreHealth
from monitor.store.memory import MemoryStore
from retry_proxy.events import AttemptOutcome, FleetTrouble, ReplicaState, RequestOutcome
from tests.monitor.events import (
    REPLICA_A,
    REPLICA_B,
    attempt_ended,
    fleet_troubled,
    replica_changed,
    request_ended,
    stopped,
    verdict,
)
from tests.monitor.fakes import FakeFleet, FakeJudge, FakeReplica


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample; ``None`` if there is no such series."""
    return metrics.registry.get_sample_value(name, labels)


def test_a_healthy_attempt() -> None:
    """Counted once; its acceptance is seen; nothing is an anomaly, wasted or leaked."""
    metrics = Metrics()
    metrics.attempt_ended(attempt_ended())
    at = {"model": "smollm2"}
    assert value(metrics, "specwatch_attempts_total", engine="sglang", outcome="completed") == 1
    assert value(metrics, "specwatch_replica_attempts_total", replica=REPLICA_A) == 1
    assert value(metrics, "specwatch_steps_total", replica=REPLICA_A) == 100
    assert value(metrics, "specwatch_accepted_tokens_total", replica=REPLICA_A) == 100
    assert value(metrics, "specwatch_drafted_tokens_total", replica=REPLICA_A) == 300
    assert value(metrics, "specwatch_inspected_tokens_total") == 200
    assert value(metrics, "specwatch_accept_length_sum", **at) == 2.0
    assert value(metrics, "specwatch_accept_rate_sum", **at) == pytest.approx(1 / 3)
    text = metrics.exposition().decode()
    assert "specwatch_anomalies_total{" not in text
    assert "specwatch_retries_total{" not in text


def test_a_stopped_attempt() -> None:
    """Verdict, tokens to detection, leaked and wasted tokens."""
    metrics = Metrics()
    metrics.attempt_ended(stopped())
    assert value(metrics, "specwatch_anomalies_total", kind="garbled", replica=REPLICA_A) == 1
    found_by = {"kind": "garbled", "detector": "acceptance", "model": "smollm2"}
    assert value(metrics, "specwatch_detections_total", **found_by) == 1
    assert value(metrics, "specwatch_detection_tokens_sum", kind="garbled") == 40
    assert value(metrics, "specwatch_leaked_tokens_total", kind="garbled") == 5
    assert value(metrics, "specwatch_wasted_tokens_total", outcome="anomaly") == 35


def test_a_marked_attempt_is_an_anomaly_too() -> None:
    """Let through, but counted."""
    metrics = Metrics()
    found = verdict(kind=AnomalyKind.REPETITION)
    metrics.attempt_ended(stopped(outcome=AttemptOutcome.MARKED, verdict=found))
    assert value(metrics, "specwatch_anomalies_total", kind="repetition", replica=REPLICA_A) == 1
    found_by = {"kind": "repetition", "detector": "acceptance", "model": "smollm2"}
    assert value(metrics, "specwatch_detections_total", **found_by) == 1


@pytest.mark.parametrize("outcome", AttemptOutcome)
def test_every_outcome_of_a_retry_has_a_name(outcome: AttemptOutcome) -> None:
    """A second attempt counts as a retry, however it ends."""
    metrics = Metrics()
    metrics.attempt_ended(attempt_ended(attempt=2, outcome=outcome))
    assert value(metrics, "specwatch_retries_total", outcome=RETRY_OUTCOME[outcome]) == 1


@pytest.mark.parametrize(
    ("steps", "drafted", "accepted"), [(None, None, None), (0, 0, 0), (10, None, None)]
)
def test_no_acceptance_where_the_engine_did_not_say(
    steps: int | None, drafted: int | None, accepted: int | None
) -> None:
    """Absence is no zero."""
    metrics = Metrics()
    metrics.attempt_ended(attempt_ended(steps=steps, drafted=drafted, accepted=accepted))
    assert "specwatch_accept_length_count{" not in metrics.exposition().decode()
    assert "specwatch_accept_rate_count{" not in metrics.exposition().decode()


def test_an_attempt_that_never_ran_teaches_nothing() -> None:
    """No acceptance and no hold-back from a refused connection."""
    metrics = Metrics()
    metrics.attempt_ended(attempt_ended(outcome=AttemptOutcome.CONNECT_FAILED))
    text = metrics.exposition().decode()
    assert "specwatch_accept_length_count{" not in text
    assert value(metrics, "specwatch_held_seconds_count") == 0
    assert value(metrics, "specwatch_replica_failures_total", replica=REPLICA_A) == 1


def test_a_request() -> None:
    """Outcome, tokens, durations and added delay."""
    metrics = Metrics()
    metrics.request_ended(
        request_ended(outcome=RequestOutcome.RETRIED_CLEAN, added_delay_seconds=1.5)
    )
    assert value(metrics, "specwatch_requests_total", model="smollm2", outcome="retried_clean") == 1
    assert value(metrics, "specwatch_added_delay_seconds_sum") == 1.5
    assert value(metrics, "specwatch_completion_tokens_total", model="smollm2") == 200


def test_a_request_without_a_first_byte() -> None:
    """A request that failed before its first byte has no time to it, and no delivering attempt."""
    metrics = Metrics()
    metrics.request_ended(
        request_ended(
            outcome=RequestOutcome.ERROR, time_to_first_byte_seconds=None, retry_refused="budget"
        )
    )
    assert value(metrics, "specwatch_time_to_first_byte_seconds_count", model=OTHER) is None
    assert value(metrics, "specwatch_added_delay_seconds_count") == 0
    assert value(metrics, "specwatch_retries_refused_total", outcome="budget") == 1


def test_series_stay_few_whatever_models_clients_name() -> None:
    """A client that asks for ten thousand models makes no new series beyond the limit."""
    metrics = Metrics()
    for number in range(10 * MODEL_LIMIT):
        made_up = f"model-{number}"
        metrics.request_ended(request_ended(model=made_up, outcome=RequestOutcome.REJECTED))
        metrics.attempt_ended(attempt_ended(model=made_up, outcome=AttemptOutcome.REJECTED))
        metrics.attempt_ended(attempt_ended(model=made_up))
    text = metrics.exposition().decode()
    models = {
        line.split('model="')[1].split('"')[0] for line in text.splitlines() if "model=" in line
    }
    assert len(models) <= MODEL_LIMIT + 1


def test_replica_changes_are_counted() -> None:
    """By replica; the state itself is a gauge."""
    metrics = Metrics()
    metrics.replica_changed(replica_changed())
    assert value(metrics, "specwatch_replica_changes_total", replica=REPLICA_A) == 1


@pytest.mark.parametrize("kind", FleetTrouble)
def test_fleet_troubles_are_counted(kind: FleetTrouble) -> None:
    """An alert hangs on them."""
    metrics = Metrics()
    metrics.fleet_troubled(fleet_troubled(kind))
    assert value(metrics, "specwatch_fleet_troubles_total", kind=kind.value) == 1


def test_fleet_is_read_at_the_scrape() -> None:
    """One code for the state; the newest load."""
    metrics = Metrics()
    fleet = FakeFleet(
        FakeReplica(REPLICA_A, in_flight=3), FakeReplica(REPLICA_B, ReplicaState.UNREACHABLE)
    )
    metrics.registry.register(FleetCollector(fleet, metrics.replicas))
    assert value(metrics, "specwatch_replica_state", replica=REPLICA_A) == 0
    assert value(metrics, "specwatch_replica_state", replica=REPLICA_B) == 3
    assert value(metrics, "specwatch_replicas", kind="unreachable") == 1
    assert value(metrics, "specwatch_ejected_replicas") == 0
    assert value(metrics, "specwatch_in_flight", replica=REPLICA_A) == 3


@pytest.mark.parametrize(
    ("state", "shown"), [(DraftState.HEALTHY, 1), (DraftState.DEAD, 0), (DraftState.UNKNOWN, None)]
)
def test_draft_health_is_read_at_the_scrape(state: DraftState, shown: float | None) -> None:
    """No series while nothing is known."""
    metrics = Metrics()
    fleet = FakeFleet(FakeReplica(REPLICA_A, draft_health=state))
    metrics.registry.register(FleetCollector(fleet, metrics.replicas))
    assert value(metrics, "specwatch_replica_draft_health", replica=REPLICA_A) == shown


def test_the_judge_is_read_at_the_scrape() -> None:
    """An estimate comes with its interval, and not before there is something to estimate from."""
    metrics, judge = Metrics(), FakeJudge()
    metrics.registry.register(JudgeCollector(judge))
    judge.tally.opinions[Source.INCIDENT] |= {Opinion.SICK: 9, Opinion.FINE: 1}
    judge.tally.dropped[Dropped.RATE_LIMIT] = 3
    name = "specwatch_judge_false_alarm_share"
    assert value(metrics, name, kind="estimate") == 0.1
    assert value(metrics, name, kind="low") == pytest.approx(0.0025, abs=1e-4)
    assert value(metrics, name, kind="high") == pytest.approx(0.445, abs=1e-3)
    assert value(metrics, "specwatch_judge_miss_share", kind="estimate") is None
    assert value(metrics, "specwatch_judge_texts_total", kind="incident", outcome="sick") == 9
    assert value(metrics, "specwatch_judge_dropped_total", outcome="rate_limit") == 3
    assert value(metrics, "specwatch_judge_up") == 1


class FailingStore(MemoryStore):
    """A shared store that is away."""

    def health(self) -> StoreHealth:
        return StoreHealth(name="redis", is_up=False, errors=7, dropped=2)


def test_store_and_detectors_are_read_at_the_scrape() -> None:
    """Their plain counts become series."""
    metrics = Metrics()
    metrics.registry.register(StoreCollector(FailingStore()))
    metrics.registry.register(DetectorCollector(lambda: {"acceptance": 4}, lambda: 1.5))
    assert value(metrics, "specwatch_store_up", kind="redis") == 0
    assert value(metrics, "specwatch_store_errors_total", kind="redis") == 7
    assert value(metrics, "specwatch_store_dropped_total", kind="redis") == 2
    assert value(metrics, "specwatch_detector_errors_total", detector="acceptance") == 4
    assert value(metrics, "specwatch_detector_seconds_total") == 1.5


def test_exposition_has_no_created_series() -> None:
    """They double the number of series and nobody reads them."""
    metrics = Metrics()
    metrics.attempt_ended(stopped())
    assert "_created" not in metrics.exposition().decode()
    assert "specwatch_build_info" in metrics.exposition().decode()
