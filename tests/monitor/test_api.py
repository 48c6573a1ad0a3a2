"""The monitor over HTTP."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from detectors.draft_health import DraftState
from monitor import catalog
from monitor.api import build_router
from monitor.collector import Limits
from monitor.engine_metrics.state import EngineStates
from monitor.judge.opinion import Opinion
from monitor.judge.report import Source
from monitor.monitor import Monitor
from monitor.store.memory import MemoryStore
from monitor.traffic.build import build_recorder
from monitor.traffic.collector import RecordCollector
from retry_proxy.events import ReplicaState
from tests.monitor.events import (
    REPLICA_A,
    REPLICA_B,
    attempt_ended,
    fleet_troubled,
    replica_changed,
    request_ended,
    request_id,
    stopped,
)
from tests.monitor.fakes import FakeFleet, FakeJudge, FakeReplica


def client(monitor: Monitor, fleet: FakeFleet | None = None) -> httpx.AsyncClient:
    """A client of an app with the monitor's routes alone."""
    app = FastAPI()
    app.include_router(build_router(monitor, fleet or FakeFleet()))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://specwatch")


async def get(monitor: Monitor, path: str, fleet: FakeFleet | None = None) -> tuple[int, Any]:
    """Status and JSON of one route."""
    async with client(monitor, fleet) as http:
        response = await http.get(path)
    return response.status_code, response.json()


async def test_incidents() -> None:
    """Newest first, with filters and a count."""
    monitor = Monitor()
    monitor.emit(stopped(1))
    monitor.emit(stopped(2, replica=REPLICA_B))
    status, body = await get(monitor, "/api/incidents")
    assert status == 200
    assert body["count"] == 2
    assert [one["request_id"] for one in body["incidents"]] == [request_id(2), request_id(1)]
    _, body = await get(monitor, f"/api/incidents?replica={REPLICA_B}&kind=garbled&limit=1")
    assert [one["facts"]["replica"] for one in body["incidents"]] == [REPLICA_B]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "kind=odd", "since=x"])
async def test_bad_filters_are_refused(query: str) -> None:
    """A clear error, no guess."""
    status, body = await get(Monitor(), f"/api/incidents?{query}")
    assert status == 422
    assert body["detail"]


async def test_one_incident_tells_the_story_of_its_request() -> None:
    """The verdict, and what came after."""
    monitor = Monitor()
    monitor.emit(stopped(1))
    monitor.emit(attempt_ended(1, 2))
    monitor.emit(request_ended(1, attempts=2))
    _, body = await get(monitor, f"/api/incidents/{request_id(1)}01")
    assert body["incident"]["facts"]["verdict"]["kind"] == "garbled"
    assert [one["outcome"] for one in body["request"]["attempts"]] == ["anomaly", "completed"]


async def test_no_text_is_told_unless_it_was_captured() -> None:
    """Answers are private."""
    monitor = Monitor(MemoryStore(clock=lambda: 1010.0))
    monitor.emit(stopped(1))
    monitor.emit(stopped(2, text_sample="captured"))
    _, body = await get(monitor, "/api/incidents")
    assert [one["text_sample"] for one in body["incidents"]] == ["captured", None]


@pytest.mark.parametrize("path", ["/api/incidents/unknown", "/api/requests/unknown"])
async def test_unknown_ids(path: str) -> None:
    """404 with a reason."""
    status, body = await get(Monitor(), path)
    assert status == 404
    assert "no longer kept" in body["error"]["message"]


async def test_replicas() -> None:
    """As the fleet sees them."""
    fleet = FakeFleet(
        FakeReplica(
            REPLICA_A,
            in_flight=2,
            last_error="refused",
            draft_health=DraftState.DEAD,
            draft_reason="19 of the last 20 streams",
        )
    )
    _, body = await get(Monitor(), "/api/replicas", fleet)
    assert body["replicas"] == [
        {
            "address": REPLICA_A,
            "state": "healthy",
            "engine": "sglang",
            "version": "0.5.23",
            "models": ["smollm2"],
            "in_flight": 2,
            "outstanding_tokens": 0,
            "attempts": 0,
            "anomalies": 0,
            "last_error": "refused",
            "draft_health": "dead",
            "draft_reason": "19 of the last 20 streams",
        }
    ]


async def test_the_judge() -> None:
    """Its counts with the estimates from them."""
    monitor, judge = Monitor(), FakeJudge()
    monitor.watch_judge(judge)
    judge.tally.opinions[Source.INCIDENT] |= {Opinion.SICK: 9, Opinion.FINE: 1, Opinion.UNSURE: 5}
    _, body = await get(monitor, "/api/judge")
    told = body["judge"]
    assert told["opinions"]["incident"] == {"sick": 9, "fine": 1, "unsure": 5}
    assert told["false_alarms"]["whole"] == 10
    assert told["false_alarms"]["estimate"] == 0.1
    assert told["misses"]["estimate"] is None
    assert told["judge_errors"]


async def test_without_a_judge_there_are_no_second_opinions() -> None:
    """It is off unless the operator switched it on."""
    assert await get(Monitor(), "/api/judge") == (200, {"judge": None})


async def test_health_and_ready() -> None:
    """Alive is not the same as able to serve."""
    down = FakeFleet(FakeReplica(REPLICA_A, ReplicaState.UNREACHABLE))
    assert await get(Monitor(), "/health", down) == (200, {"status": "ok"})
    status, body = await get(Monitor(), "/ready", down)
    assert (status, body["ready"]) == (503, False)
    status, body = await get(Monitor(), "/ready")
    assert (status, body["healthy_replicas"]) == (200, 2)


async def test_metrics_are_those_of_the_catalog(tmp_path: Path) -> None:
    """Every family that is scraped is in the catalog, and the other way round."""
    monitor = Monitor()
    monitor.watch_detectors(lambda: {"acceptance": 1}, lambda: 0.5)
    monitor.watch_judge(FakeJudge())
    monitor.watch_engines(EngineStates())
    monitor.watch_baselines(lambda: 0)
    recorder = build_recorder(str(tmp_path / "trace.jsonl"), 1, None, monitor)
    assert recorder is not None
    monitor.metrics.registry.register(RecordCollector(recorder))
    monitor.watch_limits(Limits(0.3, 1e-4, lambda: 10.0), FakeFleet(), 1000)
    for event in (stopped(1), attempt_ended(1, 2), replica_changed(), fleet_troubled()):
        monitor.emit(event)
    monitor.emit(request_ended(1, retry_refused="budget"))
    monitor.metrics.dropped("test")
    async with client(monitor) as http:
        response = await http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    types = dict(
        line.split()[2:4] for line in response.text.splitlines() if line.startswith("# TYPE")
    )
    assert types == {metric.name: metric.type.value for metric in catalog.CATALOG}
