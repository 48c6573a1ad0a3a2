"""All replicas of one proxy: joins what is decided about them with clock, events and tasks."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from detectors.draft_health import DraftHealth, DraftState
from retry_proxy.addresses import AddressRules
from retry_proxy.config import ProxyConfig
from retry_proxy.decide.budget import RetryBudget
from retry_proxy.decide.hedge import Hedging
from retry_proxy.decide.hedge_after import HedgeAfter
from retry_proxy.detector_time import DetectorTime
from retry_proxy.engines.adapter import FinalCounters
from retry_proxy.errors import ConnectFailed
from retry_proxy.events import (
    DraftHealthChanged,
    Event,
    EventSink,
    FleetTrouble,
    FleetTroubled,
    ReplicaChanged,
    ReplicaState,
)
from retry_proxy.fleet.contact import Contact
from retry_proxy.fleet.demand import UNKNOWN_DEMAND, Demand
from retry_proxy.fleet.gossip import Gossip, Told
from retry_proxy.fleet.lease import Lease
from retry_proxy.fleet.pool import Pool, probe_delay
from retry_proxy.fleet.prober import Prober
from retry_proxy.fleet.replica import Replica, ReplicaSnapshot
from retry_proxy.fleet.resolver import CheckedResolver
from retry_proxy.fleet.roster import FLAGS, Order, Roster
from retry_proxy.fleet.sources.build import build_sources
from retry_proxy.fleet.sources.follow import Follower
from retry_proxy.fleet.sources.source import ReplicaSource
from retry_proxy.fleet.ward import AttemptResult, Change, Notice, Trouble, Ward
from retry_proxy.stream.sockets import SocketUpstream
from retry_proxy.stream.upstream import Upstream

_FIRST_LISTS_SECONDS = 5.0


class Fleet:
    """The replicas and the one connection pool to them.

    Args:
        upstream: the network seam; by default sockets.
        sources: lists of replicas; by default those that the configuration names.
    """

    def __init__(
        self,
        config: ProxyConfig,
        sink: EventSink,
        *,
        upstream: Upstream | None = None,
        sources: Sequence[ReplicaSource] | None = None,
    ) -> None:
        self._config = config
        self._sink = sink
        rules = AddressRules(config.allow_addresses)
        self.upstream: Upstream = upstream or SocketUpstream(
            config.connect_timeout_seconds, resolve=CheckedResolver(rules)
        )
        contact = Contact(config, self.upstream)
        self.adapter, self.send_abort = contact.adapter, contact.send_abort
        self.spawn, self.settle = contact.spawn, contact.settle
        self._pool = Pool(config.balance, slow_start_seconds=config.slow_start_seconds)
        self._ward = Ward(self._pool, config)
        self.budget = RetryBudget(
            ratio=config.retry_budget_ratio, min_per_second=config.retry_budget_min_per_second
        )
        after = config.hedge_after
        self.hedging = (
            None if after is None else Hedging(HedgeAfter.parse(after), config.hedge_share)
        )
        self._gossip = Gossip(self._pool, self._ward, self.budget)
        self._roster = Roster(self._pool, self._ward, rules)
        for address in config.replicas:
            self._roster.add(address, FLAGS)
        found = build_sources(config) if sources is None else sources
        self._followers = [self._follower(source) for source in found]
        self._following: list[asyncio.Task[None]] = []
        self._prober = Prober(
            contact,
            config.probe_interval_seconds,
            lambda: self._pool.members,
            tick=self._tick,
            answered=self.note_answered,
            refused=self.note_connect_failed,
        )
        self._probing: asyncio.Task[None] | None = None
        self._crashes: Counter[str] = Counter()
        self.detector_time = DetectorTime()

    @property
    def _replicas(self) -> Sequence[Replica]:
        return self._pool.members

    def snapshot(self) -> list[ReplicaSnapshot]:
        """Every replica as it is now."""
        return [replica.snapshot() for replica in self._replicas]

    def detector_errors(self) -> Mapping[str, int]:
        """Crashes of detectors so far, by detector name."""
        return dict(self._crashes)

    def note_detector_errors(self, names: Collection[str]) -> None:
        """Counts detectors that crashed in an attempt."""
        self._crashes.update(names)

    # members

    def apply(self, order: Order, address: str) -> None:
        """Does what the operator says.

        Raises:
            RefusedAddress: it may not be added, or is a replica already.
            UnknownReplica: it is no replica.
        """
        self._tell(self._roster.apply(order, address, time.monotonic()))

    def reload(self) -> None:
        """Has every list of replicas read at once."""
        for follower in self._followers:
            follower.wake()

    def shared(self) -> Told:
        """What other proxies should know."""
        return self._gossip.outgoing(time.monotonic(), time.time())

    def hear(self, peers: Mapping[str, Told]) -> None:
        """What the other live proxies told last."""
        self._tell(self._gossip.incoming(peers, time.monotonic(), time.time()))

    def _follower(self, source: ReplicaSource) -> Follower:
        def take(origin: str, addresses: Collection[str]) -> None:
            self._tell(self._roster.update(origin, addresses, time.monotonic()))

        def complain(reason: str) -> None:
            self._tell([Trouble(FleetTrouble.SOURCE_UNAVAILABLE, reason)])

        seconds = self._config.source_interval_seconds
        return Follower(source, seconds, take=take, complain=complain)

    # choice

    def choose(
        self,
        tried: Collection[str],
        demand: Demand = UNKNOWN_DEMAND,
        *,
        may_try: bool = False,
    ) -> Replica | None:
        """The replica for the next attempt of a request that has tried some.

        Args:
            may_try: one on trial may get it: the request is watched and can be done again.
        """
        return self._pool.choose(tried, demand, time.monotonic(), may_try=may_try)

    def has_other(self, tried: Collection[str]) -> bool:
        """Whether a healthy replica is left for another attempt."""
        return self._pool.has_other(tried)

    def has_free(self, tried: Collection[str]) -> bool:
        """Whether a healthy replica is left that did not ask to be spared."""
        return self._pool.has_free(tried, time.monotonic())

    def lease(self, replica: Replica, demand: Demand = UNKNOWN_DEMAND) -> Lease:
        """An attempt's or a pass-through's place on the replica; to be entered."""
        return Lease(replica, self._pool.expected_tokens(demand), demand.prompt_tokens)

    # what was learned

    def note_answered(self, replica: Replica) -> None:
        """It took a connection."""
        was_unreachable = replica.state is ReplicaState.UNREACHABLE
        self._tell(self._ward.note_answered(replica, time.monotonic()))
        if was_unreachable:
            self._forget_drafter(replica)

    def note_connect_failed(self, replica: Replica, error: ConnectFailed) -> None:
        """It refused a connection."""
        replica.last_error = str(error)
        now = time.monotonic()
        if now >= replica.next_probe_at:  # the requests that run side by side find out only once
            replica.refusals += 1
            replica.next_probe_at = now + probe_delay(
                replica.refusals,
                first_seconds=self._config.probe_interval_seconds,
                longest_seconds=self._config.probe_max_interval_seconds,
            )
        self._tell(self._ward.note_refused(replica, now))

    def note_ended(self, lease: Lease, result: AttemptResult, tokens: int | None = None) -> None:
        """An attempt ended.

        Args:
            tokens: of its answer, if it came to its end.
        """
        if tokens is not None:
            self._pool.note_answer(tokens)
        self._tell(self._ward.note_ended(lease, result, time.monotonic()))

    def note_busy(self, replica: Replica, seconds: float) -> None:
        """It asked to be spared for a while."""
        self._pool.note_busy(replica, time.monotonic() + seconds)

    def can_abort(self, replica: Replica) -> bool:
        """Whether another generation may be stopped on it by a verdict."""
        limit = self._config.abort_limit_per_minute
        return replica.aborts.can_abort(time.monotonic(), limit)

    def note_abort(self, replica: Replica) -> None:
        """A generation was stopped on it by a verdict."""
        replica.aborts.note_abort(time.monotonic(), self._config.abort_limit_per_minute)

    def forgive(self, addresses: Collection[str]) -> None:
        """The anomaly of one request was seen on all of these: it was none of theirs."""
        for address in addresses:
            if replica := self._pool.get(address):
                self._ward.forgive(replica)

    def note_acceptance(
        self, replica: Replica, counters: FinalCounters, *, was_flagged: bool, is_upper_bound: bool
    ) -> None:
        """One of its streams ended, with this acceptance."""
        health = replica.draft_health
        before = health.state
        drafts = _drafts_per_step(counters)
        health.ended(counters.steps, counters.accepted, drafts, was_flagged, is_upper_bound)
        if health.state is not before:
            self._tell_drafter(replica, health.reason)

    def _forget_drafter(self, replica: Replica) -> None:
        """What came back may be another engine."""
        was_known = replica.draft_health.state is not DraftState.UNKNOWN
        replica.draft_health = DraftHealth()
        if was_known:
            self._tell_drafter(replica, "the replica came back, perhaps with another engine")

    def _tell_drafter(self, replica: Replica, reason: str) -> None:
        health = replica.draft_health
        self._sink.emit(
            DraftHealthChanged(replica.address, health.state, reason, time.time(), health.numbers)
        )

    def _tell(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            self._sink.emit(_event_of(notice, time.time()))

    def _tick(self, now: float) -> None:
        self._tell(self._ward.tick(now))
        self._roster.tidy()

    # life

    async def start(self) -> None:
        """Reads the lists of replicas once; starts probing, and following the lists."""
        if self._probing is not None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_LISTS_SECONDS):
                await asyncio.gather(*(follower.read() for follower in self._followers))
        self._probing = asyncio.create_task(self._prober.run())
        self._following = [asyncio.create_task(one.follow()) for one in self._followers]

    async def stop(self) -> None:
        """Stops probing, lets aborts finish, closes the connections."""
        running = [*self._following, *([] if self._probing is None else [self._probing])]
        for task in running:
            task.cancel()
        ends = await asyncio.gather(*running, return_exceptions=True)
        for follower in self._followers:
            await follower.close()
        self._probing = None
        self._following = []
        await self.settle()
        await self.upstream.close()
        for end in ends:
            if isinstance(end, Exception):  # a bug of ours; cancelled is no Exception
                raise end


def _event_of(notice: Notice, at: float) -> Event:
    replica = notice.replica
    if isinstance(notice, Change):
        return ReplicaChanged(notice.replica.address, notice.replica.state, notice.reason, at)
    return FleetTroubled(
        notice.kind, notice.reason, at, None if replica is None else replica.address
    )


def _drafts_per_step(counters: FinalCounters) -> float | None:
    if counters.drafted is None or not counters.steps:
        return None
    return counters.drafted / counters.steps
