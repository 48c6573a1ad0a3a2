"""One request from its first dispatch to its last byte.

Asks the deciding code, does what it says.
"""

import asyncio
import time
from dataclasses import dataclass, replace
from functools import partial

import msgspec

from detectors.verdict import Verdict
from retry_proxy.config import OnExhausted, ProxyConfig, ReleaseMode
from retry_proxy.decide.budget import RetryBudget
from retry_proxy.decide.busy import is_busy, retry_after_seconds
from retry_proxy.decide.client_retry import allowed_attempts, client_retries
from retry_proxy.decide.lifecycle import RequestEvent, RequestState, advance, is_over
from retry_proxy.decide.refusal import refused_error, unreachable_error
from retry_proxy.decide.release import ReleasePolicy
from retry_proxy.decide.retry import (
    Action,
    Decision,
    Finding,
    Refusal,
    Situation,
    decide_on_failure,
    decide_on_verdict,
    showed_the_same,
)
from retry_proxy.engines.adapter import AttemptPlan, EngineAdapter, Prefix
from retry_proxy.engines.call import GenerationCall
from retry_proxy.errors import CannotContinueHere, ConnectFailed, Unanswered
from retry_proxy.events import EventSink
from retry_proxy.fleet.demand import demand_of
from retry_proxy.fleet.fleet import Fleet
from retry_proxy.fleet.replica import Replica
from retry_proxy.fleet.ward import AttemptResult
from retry_proxy.headers import Headers, authorization_only, for_rewritten_body, for_upstream
from retry_proxy.stream.answer import Answer, verdict_headers
from retry_proxy.stream.attempt import Attempt, AttemptEnd, EndKind, drain
from retry_proxy.stream.choice_panels import ChoicePanels
from retry_proxy.stream.client import ClientStream
from retry_proxy.stream.record import RequestRecord, counters_of
from retry_proxy.stream.text_tail import TextSink
from retry_proxy.watch import BuildPanel

_WHOLE = ReleasePolicy(ReleaseMode.BUFFER)  # a body is sent as one, so it can always start again
_RESULTS = {EndKind.COMPLETED: AttemptResult.CLEAN, EndKind.FAILED: AttemptResult.FAILED}
_MAX_DISPATCHES = 99  # two digits of the engine's request id


@dataclass(frozen=True, slots=True)
class Services:
    """What all requests share."""

    config: ProxyConfig
    fleet: Fleet
    sink: EventSink
    budget: RetryBudget
    policy: ReleasePolicy
    build_panel: BuildPanel
    text_sink: TextSink | None = None  # without one no text is kept


class Relay:
    """Runs one watched request."""

    def __init__(
        self,
        services: Services,
        call: GenerationCall,
        request_id: str,
        client_headers: Headers,
        client: ClientStream,
    ) -> None:
        self._services = services
        self._call = call
        self._request_id = request_id
        self._client_headers = client_headers
        self._client = client
        self._answer = Answer(call, client)
        self._demand = demand_of(call.body, call.model, call.max_tokens)
        self._state = RequestState.WAITING
        self._tried: set[str] = set()
        self._findings: list[Finding] = []
        self._blamed: set[str] = set()  # replicas whose anomaly no other one showed so far
        self._dispatches = 0
        self._reached = 0  # attempts that reached an engine
        retries = client_retries(client_headers)
        self._is_client_retry = retries > 0
        self._max_attempts = allowed_attempts(services.config.max_attempts, retries)
        self._deadline_at = time.monotonic() + services.config.deadline_seconds
        self._adapter: EngineAdapter | None = None  # of the last attempt
        self._last_failure: str | None = None
        self._record = RequestRecord(
            services.sink, services.text_sink, call, request_id, self._answer.hold
        )

    async def run(self) -> None:
        """Answers the client: the whole answer, or a typed error.

        Raises:
            asyncio.CancelledError: the client left; the attempt was closed and aborted.
        """
        budget, now = self._services.budget, time.monotonic()
        if self._is_client_retry:
            budget.note_client_retry(now)
        else:
            budget.note_request(now)
        try:
            await self._answer_client()
        except asyncio.CancelledError:
            if not is_over(self._state):
                self._advance(RequestEvent.LEAVE)
            raise
        finally:
            self._record.first_byte_at = self._client.started_at
            self._record.client_stall_seconds = self._client.stalled_seconds
            self._record.end(self._state, self._dispatches)

    async def _answer_client(self) -> None:
        prefix: Prefix | None = None
        while True:
            replica = self._services.fleet.choose(self._tried, self._demand, may_try=True)
            if replica is None or self._dispatches >= _MAX_DISPATCHES:
                await self._fail(unreachable_error(self._reached, self._last_failure))
                return
            self._tried.add(replica.address)
            end = await self._dispatch(replica, prefix)
            if await self._is_settled(end):
                return
            self._advance(RequestEvent.STOP)
            prefix = self._answer.hold.prefix() if self._answer.has_released else None

    async def _is_settled(self, end: AttemptEnd) -> bool:
        """Ends the request if this attempt was its last one."""
        if self._answer.has_released:
            self._advance(RequestEvent.RELEASE)
        if end.kind is EndKind.COMPLETED:
            await self._complete(end, is_at_limit=False)
        elif end.kind is EndKind.CONNECT_FAILED:
            return False
        elif self._answer.has_released and self._is_at_limit():
            await self._complete(end, is_at_limit=True)
        elif self._goes_elsewhere(end):
            return False
        elif end.kind is EndKind.REJECTED and not self._answer.has_released:
            await self._reject(end)
        else:
            decision = end.decision or self._decide_failure(end)
            if decision.is_retry:
                return False
            await self._fail(refused_error(decision, self._findings, self._last_failure))
        return True

    async def _dispatch(self, replica: Replica, prefix: Prefix | None) -> AttemptEnd:
        """One attempt, with its bookkeeping."""
        fleet = self._services.fleet
        self._dispatches += 1
        self._advance(RequestEvent.DISPATCH)
        rid = f"{self._request_id}{self._dispatches:02d}"
        record = self._record.start_attempt(self._dispatches, rid, replica.address)
        end: AttemptEnd | None = None
        attempt: Attempt | None = None
        lease = fleet.lease(replica, self._demand)
        try:
            with lease:
                adapter = await fleet.adapter(replica)
                record.engine = adapter.profile.name
                if prefix is not None and not adapter.can_continue(self._call, prefix):
                    raise CannotContinueHere("its engine cannot continue the answer")
                attempt = self._attempt(replica, adapter, prefix)
                end = await self._run_attempt(attempt, replica, adapter, rid, prefix)
        except (ConnectFailed, CannotContinueHere) as error:
            end = AttemptEnd(EndKind.CONNECT_FAILED, error=error)
        finally:
            record.end(end, attempt)
            if attempt is not None:
                fleet.note_acceptance(
                    replica,
                    counters_of(attempt),
                    was_flagged=attempt.verdict is not None,
                    is_upper_bound=attempt.is_upper_bound,
                )
                is_whole = end is not None and end.kind is EndKind.COMPLETED
                tokens = attempt.totals.tokens if is_whole else None
                fleet.note_ended(lease, self._result_of(end, attempt), tokens)
        self._learn(replica, end)
        return end

    def _attempt(self, replica: Replica, adapter: EngineAdapter, prefix: Prefix | None) -> Attempt:
        services = self._services
        build = partial(
            services.build_panel, adapter.profile, self._call, replica.draft_health.state
        )
        self._adapter = adapter
        return Attempt(
            config=services.config,
            policy=services.policy if self._call.is_streaming else _WHOLE,
            answer=self._answer,
            panel=ChoicePanels(build, services.fleet.detector_time),
            reader=adapter.reader(self._call, prefix),
            decide=lambda verdict: self._decide_verdict(replica, verdict),
            kept_characters=0 if services.text_sink is None else services.text_sink.kept_characters,
        )

    async def _run_attempt(
        self,
        attempt: Attempt,
        replica: Replica,
        adapter: EngineAdapter,
        rid: str,
        prefix: Prefix | None,
    ) -> AttemptEnd:
        fleet = self._services.fleet
        self._answer.start_attempt(prefix, self._dispatches)
        self._reached += 1
        # A verdict may come from a poisoned prefix cache: a new salt keeps the retry away from it.
        salt = rid if self._findings else None
        body = adapter.body(self._call, AttemptPlan(rid, prefix, salt, self._dispatches))
        is_allowed = True
        try:
            end, response = await attempt.run(
                fleet.upstream,
                replica.address + self._call.route.value,
                for_upstream(self._client_headers),
                msgspec.json.encode(body),
            )
            # Over the replica's limit of aborts the connection is closed and that is all.
            is_allowed = end.decision is None or end.decision.refusal is not Refusal.ABORTS
        finally:
            fleet.note_detector_errors(attempt.crashed_detectors)
            abort = adapter.abort(self._call, rid)
            if abort is not None and attempt.was_opened and not attempt.has_ended and is_allowed:
                fleet.send_abort(replica, abort, authorization_only(self._client_headers))
        if end.kind is EndKind.CONNECT_FAILED:
            self._reached -= 1
        if response is not None:
            fleet.spawn(drain(response))
        return end

    def _learn(self, replica: Replica, end: AttemptEnd) -> None:
        fleet = self._services.fleet
        self._last_failure = None
        if end.kind is EndKind.REJECTED:
            self._last_failure = f"the engine answered with status {end.status}"
            if is_busy(end.status):
                fleet.note_busy(replica, retry_after_seconds(end.headers or (), time.time()))
        if end.error is not None:
            self._last_failure = f"{end.error.reason}: {end.error}"
            replica.last_error = self._last_failure
        if isinstance(end.error, ConnectFailed):
            fleet.note_connect_failed(replica, end.error)
        elif end.kind is not EndKind.CONNECT_FAILED:
            fleet.note_answered(replica)

    def _result_of(self, end: AttemptEnd | None, attempt: Attempt) -> AttemptResult:
        """What the attempt says about its replica."""
        if attempt.verdict is not None:
            is_blamed = self._findings[-1].replica in self._blamed
            return AttemptResult.ANOMALY if is_blamed else AttemptResult.SHARED
        if end is None:
            return AttemptResult.UNTOLD
        return _RESULTS.get(end.kind, AttemptResult.UNTOLD)

    # decisions

    def _decide_verdict(self, replica: Replica, verdict: Verdict) -> Decision:
        self._findings.append(Finding(replica.address, verdict.kind))
        replica.anomalies += 1
        shared = showed_the_same(self._findings)
        if shared:
            self._services.fleet.forgive(shared & self._blamed)
            self._blamed -= shared
        else:
            self._blamed.add(replica.address)
        fleet = self._services.fleet
        situation = replace(self._situation(), may_abort=fleet.can_abort(replica))
        decision = decide_on_verdict(situation)
        if decision.is_retry:
            fleet.note_abort(replica)
        return self._settle(decision)

    def _goes_elsewhere(self, end: AttemptEnd) -> bool:
        """An engine without room is no answer while another one has some."""
        if end.kind is not EndKind.REJECTED or not is_busy(end.status):
            return False
        if not self._services.fleet.has_free(self._tried):
            return False
        return self._settle(decide_on_failure(self._situation())).is_retry

    def _decide_failure(self, end: AttemptEnd) -> Decision:
        if end.kind is EndKind.REJECTED:  # the engine refuses to continue
            return self._settle(Decision(Action.FAIL, Refusal.NOT_CONTINUABLE))
        return self._settle(decide_on_failure(self._situation()))

    def _settle(self, decision: Decision) -> Decision:
        if decision.is_retry:
            self._services.budget.spend(time.monotonic())
        elif decision.refusal is not None:
            self._record.retry_refused = decision.refusal.value
        return decision

    def _situation(self) -> Situation:
        services = self._services
        now = time.monotonic()
        return Situation(
            attempts=self._reached,
            max_attempts=self._max_attempts,
            now=now,
            deadline_at=self._deadline_at,
            findings=self._findings,
            has_other_replica=services.fleet.has_other(self._tried),
            has_released=self._answer.has_released,
            can_continue=self._can_continue(),
            is_within_budget=services.budget.can_spend(now),
            lets_through=services.config.on_exhausted is OnExhausted.PASS,
        )

    def _can_continue(self) -> bool:
        hold = self._answer.hold
        if self._adapter is None or not hold.is_continuable:
            return False
        return self._adapter.can_continue(self._call, hold.prefix())

    def _is_at_limit(self) -> bool:
        limit, hold = self._call.max_tokens, self._answer.hold
        is_counted = self._call.choices == 1 and not hold.has_estimates
        return limit is not None and is_counted and hold.released_tokens >= limit

    # the client

    async def _complete(self, end: AttemptEnd, *, is_at_limit: bool) -> None:
        self._advance(RequestEvent.COMPLETE)
        await self._answer.complete(
            attempts=self._dispatches, verdict=end.verdict, is_at_limit=is_at_limit
        )

    async def _reject(self, end: AttemptEnd) -> None:
        """The engine found the request bad: its words go on as they are."""
        self._record.is_rejected = True
        self._advance(RequestEvent.FAIL)
        marks = verdict_headers(self._dispatches, None)
        headers = [*for_rewritten_body(end.headers), *marks]
        await self._client.respond(end.status, headers, end.body)

    async def _fail(self, error: Unanswered) -> None:
        self._advance(RequestEvent.FAIL)
        kind = self._findings[-1].kind if self._findings else None
        await self._answer.fail(error, attempts=self._dispatches, kind=kind)

    def _advance(self, event: RequestEvent) -> None:
        self._state = advance(self._state, event)
