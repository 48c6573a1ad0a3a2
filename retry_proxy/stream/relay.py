"""One request from its first dispatch to its last byte.

Asks the deciding code, does what it says.
"""

import asyncio
import time
from dataclasses import replace

from detectors.verdict import Verdict
from retry_proxy.config import BalanceName, OnExhausted
from retry_proxy.decide.busy import is_busy
from retry_proxy.decide.client_retry import allowed_attempts, client_retries
from retry_proxy.decide.hedge import is_safe_to_duplicate
from retry_proxy.decide.lifecycle import RequestEvent, RequestState, advance, is_over
from retry_proxy.decide.refusal import refused_error, unreachable_error
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
from retry_proxy.engines.adapter import EngineAdapter, Prefix
from retry_proxy.engines.call import GenerationCall
from retry_proxy.errors import Unanswered
from retry_proxy.fleet.demand import demand_of
from retry_proxy.fleet.replica import Replica
from retry_proxy.headers import Headers, for_rewritten_body
from retry_proxy.services import Services
from retry_proxy.stream.answer import Answer, verdict_headers
from retry_proxy.stream.client import ClientStream
from retry_proxy.stream.dispatch import Dispatch, Job, Plan
from retry_proxy.stream.ending import AttemptEnd, EndKind
from retry_proxy.stream.hedge import first_to_begin, replica_beside
from retry_proxy.stream.record import RequestRecord

_MAX_DISPATCHES = 99  # two digits of the engine's request id


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
        self._client = client
        self._answer = Answer(call, client)
        self._demand = demand_of(
            call.body,
            call.model,
            call.max_tokens,
            wants_prefix=services.config.balance is BalanceName.PREFIX,
        )
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
        trace = services.begin_trace(client_headers, request_id)
        self._record = RequestRecord(
            services.sink, services.text_sink, call, request_id, self._answer.hold, trace
        )
        self._job = Job(
            services, call, request_id, client_headers, self._demand, self._answer, self._record
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
            end = await self._run_attempt(replica, prefix)
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

    async def _run_attempt(self, replica: Replica, prefix: Prefix | None) -> AttemptEnd:
        """One attempt, or two of which the quicker one counts."""
        self._advance(RequestEvent.DISPATCH)
        made = [self._dispatch(replica, prefix)]
        dispatch = made[0]
        try:
            if self._may_hedge():
                dispatch = await self._begin(made)
            else:
                await dispatch.open()
            self._adapter = dispatch.adapter or self._adapter
            self._reached += sum(one.reached for one in made)
            end = await dispatch.read()
        finally:
            dispatch.close()
        self._last_failure = _failure_of(end)
        return end

    def _dispatch(
        self, replica: Replica, prefix: Prefix | None, *, is_hedge: bool = False
    ) -> Dispatch:
        self._tried.add(replica.address)
        self._dispatches += 1
        plan = Plan(self._dispatches, prefix, bool(self._findings), is_hedge)
        return Dispatch(
            self._job, replica, plan, decide=self._decide_verdict, is_blamed=self._is_blamed
        )

    def _is_blamed(self) -> bool:
        return self._findings[-1].replica in self._blamed

    # a second replica beside a slow one

    def _may_hedge(self) -> bool:
        hedging = self._services.fleet.hedging
        if hedging is None or self._dispatches > 1 or self._is_client_retry:
            return False
        return is_safe_to_duplicate(self._call, self._job.client_headers)

    async def _begin(self, made: list[Dispatch]) -> Dispatch:
        """Waits for the answer to begin, on the first replica or a second one."""
        hedging = self._services.fleet.hedging
        assert hedging is not None, "hedging is off"
        hedging.note_request(time.monotonic())
        first, delay = made[0], hedging.delay_seconds
        if delay is None:
            await first.begin()
            return first

        def second() -> Dispatch | None:
            replica = None
            if self._max_attempts > 1:
                job, now = self._job, time.monotonic()
                replica = replica_beside(job, hedging, first.replica, self._tried, now)
            if replica is not None:
                made.append(self._dispatch(replica, None, is_hedge=True))
            return made[1] if len(made) > 1 else None

        winner = await first_to_begin(first, delay, second)
        if len(made) > 1:
            self._answer.start_attempt(None, self._dispatches)
            # Who was only slower has failed at nothing: it may do what the winner cannot end.
            self._tried -= {one.replica.address for one in made if one.was_outrun}
        return winner

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


def _failure_of(end: AttemptEnd) -> str | None:
    if end.error is not None:
        return f"{end.error.reason}: {end.error}"
    return f"the engine answered with status {end.status}" if end.status else None
