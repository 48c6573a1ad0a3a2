"""Builds what the page shows from what monitor, fleet and running attempts are now."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from monitor.collector import EJECTED, Limits, ejectable
from monitor.monitor import Monitor
from monitor.page.difference import Row, Tables
from monitor.page.rows import incident_row, replica_row, stream_row
from monitor.page.sample import Sample, choose
from monitor.ports import ReplicaSource
from monitor.recent import Counts
from monitor.records import IncidentFilter
from retry_proxy.decide.budget import RetryBudget
from retry_proxy.events import ReplicaState
from retry_proxy.stream.running import Running

MOST_SUSPECT = 100
MOST_OTHERS = 40
MOST_INCIDENTS = 50
MOST_REPLICAS = 500


@dataclass(frozen=True, slots=True)
class PageSources:
    """Where the page's numbers come from; all of them only read."""

    monitor: Monitor
    fleet: ReplicaSource
    running: Running
    budget: RetryBudget
    limits: Limits


class SnapshotBuilder:
    """Remembers which streams were shown, nothing else."""

    def __init__(self, sources: PageSources, clock: Callable[[], float] = time.monotonic) -> None:
        self._sources = sources
        self._clock = clock
        self._shown: frozenset[str] = frozenset()

    async def build(self) -> Tables:
        """All tables, as they are now."""
        incidents = await self._sources.monitor.incidents(IncidentFilter(limit=MOST_INCIDENTS))
        sample = self._sample()
        recent = Counts()
        replicas: dict[str, Row] = {}
        states: list[ReplicaState] = []
        for replica in self._sources.fleet.snapshot():
            counts = self._sources.monitor.recent.of(replica.address)
            engine = self._sources.monitor.engines.replicas.get(replica.address)
            recent.add(counts)
            states.append(replica.state)
            if len(replicas) < MOST_REPLICAS:
                replicas[replica.address] = replica_row(replica, counts, engine)
        return {
            "totals": {"now": self._totals(sample, recent, states)},
            "streams": self._streams(sample),
            "replicas": replicas,
            "incidents": {one.id: incident_row(one) for one in incidents},
        }

    def _sample(self) -> Sample:
        running = self._sources.running
        sample = choose(
            running.suspicions(), self._shown, most_suspect=MOST_SUSPECT, most_others=MOST_OTHERS
        )
        self._shown = frozenset(sample.shown)
        return sample

    def _streams(self, sample: Sample) -> dict[str, Row]:
        found = ((rid, self._sources.running.seen(rid)) for rid in sample.shown)
        return {rid: stream_row(seen) for rid, seen in found if seen is not None}

    def _totals(self, sample: Sample, recent: Counts, states: list[ReplicaState]) -> Row:
        sources = self._sources
        return {
            "running": sample.running,
            "suspect": sample.suspect,
            "replicas": len(states),
            "healthy": states.count(ReplicaState.HEALTHY),
            "ejected": sum(state in EJECTED for state in states),
            "ejectable": ejectable(sources.limits.max_ejected_share, len(states)),
            "recent_attempts": recent.attempts,
            "recent_anomalies": recent.anomalies,
            "recent_retries": recent.retries,
            "budget_left": int(sources.budget.left(self._clock())),
            "budget_ratio": sources.budget.ratio,
            "budget_min_per_second": sources.budget.min_per_second,
        }
