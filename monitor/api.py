"""The monitor over HTTP: metrics for Prometheus, incidents and replicas for people and scripts."""

from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Query, Response

from detectors.verdict import AnomalyKind
from monitor.admin_api import ReadGate, gated_route
from monitor.drain import Readiness
from monitor.engine_metrics.collector import engine_row
from monitor.monitor import Monitor
from monitor.ports import ReplicaSource, ReplicaView
from monitor.records import IncidentFilter
from retry_proxy.events import ReplicaState

Text = Annotated[str | None, Query(max_length=200)]


def as_json(value: object, status: int = 200) -> Response:
    """``value`` as a JSON answer."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def not_found(what: str, wanted_id: str) -> Response:
    """A 404 that says what may have happened to it."""
    message = f"no {what} {wanted_id!r}: never seen here, or no longer kept"
    return as_json({"error": {"type": "not_found", "message": message}}, 404)


def replica_row(replica: ReplicaView) -> dict[str, object]:
    """What is told of one replica."""
    return {
        "address": replica.address,
        "state": replica.state,
        "engine": replica.engine,
        "version": replica.version,
        "models": list(replica.models),
        "in_flight": replica.in_flight,
        "outstanding_tokens": replica.outstanding_tokens,
        "attempts": replica.attempts,
        "anomalies": replica.anomalies,
        "last_error": replica.last_error,
        "draft_health": replica.draft_health,
        "draft_reason": replica.draft_reason,
    }


def build_router(
    monitor: Monitor,
    fleet: ReplicaSource,
    admin_key: str | None = None,
    readiness: Readiness | None = None,
) -> APIRouter:
    """Every route of the monitor; the fleet's gauges join its metrics.

    Args:
        admin_key: needed for all but ``/health`` and ``/ready``, if there is one.
    """
    monitor.watch_fleet(fleet)
    router = APIRouter(tags=["monitor"], route_class=gated_route(ReadGate(admin_key)))
    _add_records(router, monitor)
    probes = APIRouter(tags=["probes"])
    _add_probes(probes, fleet, readiness or Readiness())
    router.include_router(probes)

    @router.get("/metrics")
    async def metrics(accept: Annotated[str, Header()] = "") -> Response:
        """All metrics in Prometheus' text format, or OpenMetrics with exemplars if asked for."""
        page = monitor.metrics.exposition(accept)
        return Response(page.body, media_type=page.media_type)

    @router.get("/api/engine-metrics")
    async def engine_metrics() -> Response:
        """What each replica's own /metrics told last, and which load metrics it did not tell."""
        rows = {name: engine_row(state) for name, state in monitor.engines.replicas.items()}
        return as_json({"replicas": rows})

    @router.get("/api/replicas")
    async def replicas() -> Response:
        """Every replica as the fleet sees it now."""
        return as_json({"replicas": [replica_row(one) for one in fleet.snapshot()]})

    @router.get("/api/acceptance")
    async def acceptance(since: Annotated[int, Query(ge=0)] = 0) -> Response:
        """Accepted drafts of the last healthy attempts, oldest first, for `specwatch calibrate`."""
        return as_json(monitor.acceptance.page(since))

    @router.get("/api/judge")
    async def judge() -> Response:
        """Second opinions so far, and the estimates from them; ``null`` without ``--judge``."""
        return as_json({"judge": None if monitor.judge is None else monitor.judge.report()})

    return router


def _add_probes(router: APIRouter, fleet: ReplicaSource, readiness: Readiness) -> None:
    @router.get("/health")
    async def health() -> Response:
        """200 while the process answers."""
        return as_json({"status": "ok"})

    @router.get("/ready")
    async def ready() -> Response:
        """200 while at least one replica can be given requests and no signal came, else 503."""
        states = [one.state for one in fleet.snapshot()]
        healthy = states.count(ReplicaState.HEALTHY)
        is_ready = healthy > 0 and not readiness.is_draining
        body = {
            "ready": is_ready,
            "draining": readiness.is_draining,
            "healthy_replicas": healthy,
            "replicas": len(states),
        }
        return as_json(body, 200 if is_ready else 503)


def _add_records(router: APIRouter, monitor: Monitor) -> None:
    @router.get("/api/incidents")
    async def incidents(
        limit: Annotated[int, Query(ge=1, le=1000)] = 50,
        kind: AnomalyKind | None = None,
        replica: Text = None,
        model: Text = None,
        since: Annotated[float | None, Query(description="unix time, seconds")] = None,
    ) -> Response:
        """Attempts with a verdict, newest first."""
        wanted = IncidentFilter(limit=limit, kind=kind, replica=replica, model=model, since=since)
        found = await monitor.incidents(wanted)
        return as_json({"count": len(found), "incidents": found})

    @router.get("/api/incidents/{incident_id}")
    async def incident(incident_id: str) -> Response:
        """One incident and the story of its request."""
        found = await monitor.incident(incident_id)
        if found is None:
            return not_found("incident", incident_id)
        return as_json({"incident": found, "request": await monitor.request(found.request_id)})

    @router.get("/api/requests/{request_id}")
    async def request(request_id: str) -> Response:
        """The story of one request: its attempts and what the client got."""
        found = await monitor.request(request_id)
        return not_found("request", request_id) if found is None else as_json(found)
