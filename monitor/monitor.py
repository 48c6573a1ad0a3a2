"""Takes the data plane's events and keeps what people ask for: metrics, incidents, requests."""

import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import structs

from detectors.draft_health import DraftState
from monitor.acceptance_log import AcceptanceLog
from monitor.catalog import process
from monitor.collector import (
    BaselinesCollector,
    DetectorCollector,
    FleetCollector,
    Limits,
    LimitsCollector,
    MemoryCollector,
    StoreCollector,
)
from monitor.config_hash import ConfigInfo
from monitor.engine_metrics.collector import EngineMetricsCollector
from monitor.engine_metrics.state import EngineStates
from monitor.incidents.engine_then import engine_then
from monitor.judge.collector import JudgeCollector
from monitor.judge.opinion import SecondOpinion
from monitor.judge.report import JudgeSource
from monitor.metrics import Metrics
from monitor.open_requests import OpenRequests
from monitor.ports import DetectorErrorSource, ReplicaSource, Store
from monitor.recent import RecentAttempts
from monitor.records import (
    Incident,
    IncidentFilter,
    RequestRecord,
    attempt_facts,
    ended_record,
    incident_of,
)
from monitor.store.memory import MemoryStore
from retry_proxy.events import (
    AttemptEnded,
    DraftHealthChanged,
    Event,
    FleetTroubled,
    ReplicaChanged,
    ReplicaState,
    RequestEnded,
    RequestUnwatched,
)

logger = logging.getLogger("specwatch.monitor")

OPEN_REQUEST_LIMIT = 20_000


class Monitor:
    """An ``EventSink``: ``emit`` never blocks and never raises.

    Args:
        store: keeps incidents and requests; in memory unless given.
        open_request_limit: requests with an attempt over and no end yet; the oldest makes room.
    """

    def __init__(
        self, store: Store | None = None, open_request_limit: int = OPEN_REQUEST_LIMIT
    ) -> None:
        self.store: Store = store or MemoryStore()
        self.metrics = Metrics()
        self._open = OpenRequests(open_request_limit)
        self.judge: JudgeSource | None = None
        self.acceptance = AcceptanceLog()
        self.recent = RecentAttempts()
        self.engines = EngineStates()
        self.metrics.registry.register(StoreCollector(self.store))
        self.metrics.registry.register(MemoryCollector())

    def watch_fleet(self, fleet: ReplicaSource) -> None:
        """Read the fleet's gauges at each scrape. Once per fleet."""
        self.metrics.registry.register(FleetCollector(fleet, self.metrics.replicas))

    def watch_detectors(self, errors: DetectorErrorSource, seconds: Callable[[], float]) -> None:
        """Read the detectors' crash counts and their time at each scrape. Once."""
        self.metrics.registry.register(DetectorCollector(errors, seconds))

    def watch_baselines(self, refused: Callable[[], int]) -> None:
        """Read how many shared baselines were refused at each scrape. Once."""
        self.metrics.registry.register(BaselinesCollector(refused))

    def watch_limits(self, limits: Limits, fleet: ReplicaSource, max_held_bytes: int) -> None:
        """Tell what the configuration allows beside what is used of it. Once."""
        self.metrics.max_held_bytes = max_held_bytes
        self.metrics.registry.register(LimitsCollector(limits, fleet))

    def watch_engines(self, states: EngineStates) -> None:
        """Read the engines' own numbers at each scrape. Once."""
        self.engines = states
        self.metrics.registry.register(EngineMetricsCollector(states, self.metrics.replicas))

    def tell_config(self, info: ConfigInfo) -> None:
        """Show what this instance runs with."""
        self.metrics.set_info(process.CONFIG_INFO, *info)

    def watch_judge(self, judge: JudgeSource) -> None:
        """Read the judge's counts at each scrape. Once."""
        self.judge = judge
        self.metrics.registry.register(JudgeCollector(judge))

    async def take_opinion(self, incident_id: str, opinion: SecondOpinion) -> None:
        """Keep the judge's opinion with its incident, if that is still kept."""
        try:
            incident = await self.store.incident(incident_id)
            if incident is not None:
                self._open.add_opinion(incident, opinion)
                self.store.put_incident(structs.replace(incident, second_opinion=opinion))
        except Exception:  # the supervisor, as in emit: the judge goes on
            self.metrics.dropped("monitor_error")
            logger.exception("a second opinion was lost")

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Monitor"]:
        """The store's own task runs meanwhile; what waits is written at the end."""
        await self.store.start()
        try:
            yield self
        finally:
            await self.store.close()

    def emit(self, event: Event) -> None:
        """Take one event. A fault in here must not reach a stream: it is counted and logged."""
        try:
            self._take(event)
        except Exception:  # the supervisor: whatever fails in here, the stream goes on
            self.metrics.dropped("monitor_error")
            logger.exception("an event was lost: %s", type(event).__name__)

    async def incidents(self, wanted: IncidentFilter) -> list[Incident]:
        """Those wanted, newest first."""
        return await self.store.incidents(wanted)

    async def incident(self, incident_id: str) -> Incident | None:
        """One incident, if it is still kept."""
        return await self.store.incident(incident_id)

    async def request(self, request_id: str) -> RequestRecord | None:
        """The story of one request, also while it runs (once an attempt of it is over)."""
        running = self._open.record(request_id)
        if running is not None:
            return running
        return await self.store.request(request_id)

    def _take(self, event: Event) -> None:
        match event:
            case AttemptEnded():
                self.metrics.attempt_ended(event)
                self.acceptance.take(event)
                self.recent.take(event)
                self._keep_attempt(event)
            case RequestEnded():
                self._end_request(event)
            case RequestUnwatched():
                self.metrics.request_unwatched(event)
            case ReplicaChanged():
                self.metrics.replica_changed(event)
                _tell_replica(event)
            case FleetTroubled():
                self.metrics.fleet_troubled(event)
                where = event.replica or "the fleet"
                logger.warning("%s: %s: %s", event.kind.value, where, event.reason)
            case DraftHealthChanged():
                _tell_draft_health(event)

    def _keep_attempt(self, event: AttemptEnded) -> None:
        incident = None
        if event.verdict is not None:
            engine = engine_then(self.engines, event.replica, time.monotonic())
            incident = incident_of(event, engine)
        if not self._open.add(event.request_id, attempt_facts(event), incident):
            self.metrics.dropped("open_request_limit")
        if incident is not None:
            self.store.put_incident(incident)

    def _end_request(self, event: RequestEnded) -> None:
        known = self._open.end(event.request_id)
        self.metrics.request_ended(event, known.attempts[0] if known.attempts else None)
        record = ended_record(event, known.attempts)
        self.store.put_request(record)
        for incident in known.told(record):
            self.store.put_incident(incident)


def _tell_replica(event: ReplicaChanged) -> None:
    level = logging.INFO if event.state is ReplicaState.HEALTHY else logging.WARNING
    logger.log(level, "%s is %s: %s", event.replica, event.state.value, event.reason)


def _tell_draft_health(event: DraftHealthChanged) -> None:
    level = logging.WARNING if event.state is DraftState.DEAD else logging.INFO
    logger.log(level, "drafter of %s is %s: %s", event.replica, event.state, event.reason)
