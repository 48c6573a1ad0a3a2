"""One attempt with all that goes with it: its place on the replica, its books, its abort."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import msgspec

from detectors.verdict import Verdict
from retry_proxy.config import ReleaseMode
from retry_proxy.decide.busy import is_busy, retry_after_seconds
from retry_proxy.decide.hedge import has_begun
from retry_proxy.decide.release import ReleasePolicy
from retry_proxy.decide.retry import Decision, Refusal
from retry_proxy.engines.adapter import AttemptPlan, EngineAdapter, Prefix
from retry_proxy.engines.call import GenerationCall
from retry_proxy.errors import CannotContinueHere, ConnectFailed, UpstreamError
from retry_proxy.fleet.demand import Demand
from retry_proxy.fleet.replica import Replica
from retry_proxy.fleet.ward import AttemptResult
from retry_proxy.headers import Headers, authorization_only, for_upstream
from retry_proxy.services import Services
from retry_proxy.stream.answer import Answer
from retry_proxy.stream.attempt import Attempt
from retry_proxy.stream.choice_panels import ChoicePanels
from retry_proxy.stream.ending import AttemptEnd, EndKind, drain
from retry_proxy.stream.record import RequestRecord, counters_of
from retry_proxy.stream.running import RunningAttempt
from retry_proxy.stream.upstream import UpstreamResponse

_WHOLE = ReleasePolicy(ReleaseMode.BUFFER)  # a body is sent as one, so it can always start again
_RESULTS = {EndKind.COMPLETED: AttemptResult.CLEAN, EndKind.FAILED: AttemptResult.FAILED}


@dataclass(frozen=True, slots=True)
class Job:
    """What all attempts of a request have in common."""

    services: Services
    call: GenerationCall
    request_id: str
    client_headers: Headers
    demand: Demand
    answer: Answer
    record: RequestRecord


@dataclass(frozen=True, slots=True)
class Plan:
    """How one attempt differs from the others.

    Attributes:
        number: of the dispatch, from 1.
        is_salted: it keeps away from the prefix caches that a sick attempt may have poisoned.
        is_hedge: it runs beside another one.
    """

    number: int
    prefix: Prefix | None = None
    is_salted: bool = False
    is_hedge: bool = False


class Dispatch:
    """Opened, read to its end, and closed in any case.

    Args:
        decide: the decision on a verdict; the attempt acts on it.
        is_blamed: whether the last verdict counts against this replica.

    Attributes:
        adapter: once the replica told which engine it is.
    """

    def __init__(
        self,
        job: Job,
        replica: Replica,
        plan: Plan,
        *,
        decide: Callable[[Replica, Verdict], Decision],
        is_blamed: Callable[[], bool],
    ) -> None:
        self._job = job
        self._fleet = job.services.fleet
        self.replica = replica
        self.plan = plan
        self._decide = decide
        self._is_blamed = is_blamed
        self._rid = f"{job.request_id}{plan.number:02d}"
        self._record = job.record.start_attempt(
            plan.number, self._rid, replica.address, is_hedge=plan.is_hedge
        )
        self._lease = self._fleet.lease(replica, job.demand)
        self._lease.begin()
        job.services.running.begin(self._rid, self)
        self._attempt: Attempt | None = None
        self._response: UpstreamResponse | None = None
        self._end: AttemptEnd | None = None
        self._is_closed = False
        self.adapter: EngineAdapter | None = None

    @property
    def reached(self) -> bool:
        """It got to an engine."""
        return self._attempt is not None

    @property
    def was_outrun(self) -> bool:
        """Another replica was quicker."""
        return self._end is not None and self._end.kind is EndKind.OUTRUN

    @property
    def has_begun(self) -> bool:
        """The engine answers it, or finds the request bad, as another one would."""
        if self._end is not None:
            return self._end.kind is EndKind.REJECTED and not is_busy(self._end.status)
        return self._response is not None

    @property
    def is_suspect(self) -> bool:
        """It looks doubtful, or has a verdict."""
        attempt = self._attempt
        return attempt is not None and (attempt.verdict is not None or attempt.is_watching)

    def seen(self) -> RunningAttempt:
        """What it is now, for the monitor."""
        return self._record.seen(self._attempt)

    async def open(self) -> None:
        """Sends it to the engine; returns with the head of the answer, or its failure."""
        job, plan = self._job, self.plan
        try:
            adapter = self.adapter = await self._fleet.adapter(self.replica)
            self._record.engine = adapter.profile.name
            if plan.prefix is not None and not adapter.can_continue(job.call, plan.prefix):
                raise CannotContinueHere("its engine cannot continue the answer")
        except (ConnectFailed, CannotContinueHere) as error:
            self._end = AttemptEnd(EndKind.CONNECT_FAILED, error=error)
            return
        # A verdict may come from a poisoned prefix cache: a new salt keeps the retry away from it.
        salt = self._rid if plan.is_salted else None
        body = adapter.body(job.call, AttemptPlan(self._rid, plan.prefix, salt, plan.number))
        try:
            self._response = await self._fleet.upstream.open(
                "POST",
                self.replica.address + job.call.route.value,
                headers=self._headers(),
                body=msgspec.json.encode(body),
                timeout_seconds=job.services.config.first_byte_timeout_seconds,
                sent=partial(self._prepare, adapter),
            )
        except UpstreamError as error:
            self._end = await self._end_of_open(error)

    def _headers(self) -> Headers:
        headers, trace = for_upstream(self._job.client_headers), self._record.trace
        return headers if trace is None else trace.hand_on(headers)

    def _prepare(self, adapter: EngineAdapter) -> None:
        """Makes what reads the answer, while the engine works."""
        if self._attempt is not None:
            return
        self._attempt = self._new_attempt(adapter)
        if not self.plan.is_hedge:
            self._job.answer.start_attempt(self.plan.prefix, self.plan.number)

    async def _end_of_open(self, error: UpstreamError) -> AttemptEnd:
        if self._attempt is not None:
            return await self._attempt.end_of_broken(error)
        is_refused = isinstance(error, ConnectFailed)
        return AttemptEnd(EndKind.CONNECT_FAILED if is_refused else EndKind.FAILED, error=error)

    async def begin(self) -> None:
        """The same, and waits for the answer to begin; what has come of it is still to be read."""
        began = time.monotonic()
        await self.open()
        attempt, response = self._attempt, self._response
        if attempt is None or response is None:
            return
        if response.status != 200:
            self._end, _ = await attempt.read(response)
            return
        route, limit = self._job.call.route, self._job.services.config.first_byte_timeout_seconds
        try:
            await response.wait_for_bytes(lambda received: has_begun(route, received), limit)
        except UpstreamError as error:
            self._end = await attempt.end_of_broken(error)
        finally:
            if self._fleet.hedging is not None:
                self._fleet.hedging.note_first_token(time.monotonic() - began)

    async def read(self) -> AttemptEnd:
        """Reads it to its end, passes on what may go, and closes it."""
        if self._end is None:
            attempt, response = self._attempt, self._response
            assert attempt is not None, "read before it was opened"
            assert response is not None, "read twice"
            self._record.note_ahead()
            self._response = None
            self._end, rest = await attempt.read(response)
            if rest is not None:
                self._fleet.spawn(drain(rest))
        self.close()
        return self._end

    def outrun(self) -> None:
        """Another replica was quicker: nobody needs this one any more."""
        if self._end is None:
            self._end = AttemptEnd(EndKind.OUTRUN)
            if self.reached:
                self._fleet.note_abort(self.replica)
        self.close()

    def close(self) -> None:
        """Stops what still runs and does the books, once."""
        if self._is_closed:
            return
        self._is_closed = True
        self._stop()
        self._lease.end()
        self._job.services.running.end(self._rid)
        end, attempt = self._end, self._attempt
        self._record.end(end, attempt)
        if attempt is not None:
            self._tell(attempt, end)
        if end is not None:
            self._learn(end)

    def _tell(self, attempt: Attempt, end: AttemptEnd | None) -> None:
        self._fleet.note_acceptance(
            self.replica,
            counters_of(attempt),
            was_flagged=attempt.verdict is not None,
            is_upper_bound=attempt.is_upper_bound,
        )
        is_whole = end is not None and end.kind is EndKind.COMPLETED
        tokens = attempt.totals.tokens if is_whole else None
        self._fleet.note_ended(self._lease, self._result(end, attempt), tokens)

    def _new_attempt(self, adapter: EngineAdapter) -> Attempt:
        job, services = self._job, self._job.services
        build = partial(
            services.build_panel, adapter.profile, job.call, self.replica.draft_health.state
        )
        return Attempt(
            config=services.config,
            policy=services.policy if job.call.is_streaming else _WHOLE,
            answer=job.answer,
            panel=ChoicePanels(build, self._fleet.detector_time),
            reader=adapter.reader(job.call, self.plan.prefix),
            decide=lambda verdict: self._decide(self.replica, verdict),
            kept_characters=0 if services.text_sink is None else services.text_sink.kept_characters,
            progress=self._lease.note_received,
        )

    def _stop(self) -> None:
        """Aborts a generation that still runs."""
        if self._response is not None:
            self._response.close()
            self._response = None
        attempt, adapter, end = self._attempt, self.adapter, self._end
        if attempt is None or adapter is None:
            return
        self._fleet.note_detector_errors(attempt.crashed_detectors)
        abort = adapter.abort(self._job.call, self._rid)
        # Over the replica's limit of aborts the connection is closed and that is all.
        decision = None if end is None else end.decision
        is_allowed = decision is None or decision.refusal is not Refusal.ABORTS
        if abort is not None and not attempt.has_ended and is_allowed:
            headers = authorization_only(self._job.client_headers)
            self._fleet.send_abort(self.replica, abort, headers)

    def _learn(self, end: AttemptEnd) -> None:
        if end.kind is EndKind.OUTRUN:
            return
        if end.kind is EndKind.REJECTED and is_busy(end.status):
            seconds = retry_after_seconds(end.headers or (), time.time())
            self._fleet.note_busy(self.replica, seconds)
        if end.error is not None:
            self.replica.last_error = f"{end.error.reason}: {end.error}"
        if isinstance(end.error, ConnectFailed):
            self._fleet.note_connect_failed(self.replica, end.error)
        elif end.kind is not EndKind.CONNECT_FAILED:
            self._fleet.note_answered(self.replica)

    def _result(self, end: AttemptEnd | None, attempt: Attempt) -> AttemptResult:
        """What the attempt says about its replica."""
        if attempt.verdict is not None:
            return AttemptResult.ANOMALY if self._is_blamed() else AttemptResult.SHARED
        if end is None:
            return AttemptResult.UNTOLD
        return _RESULTS.get(end.kind, AttemptResult.UNTOLD)
