"""Takes the texts of ended attempts and has some judged, later and elsewhere. Forgets them at once.

The only place of the control plane that sees text: in memory, and only with ``--judge``.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from monitor.judge.frames import Answered, Question, Reply
from monitor.judge.opinion import SecondOpinion
from monitor.judge.process import JudgeGone
from monitor.judge.rate import Allowance
from monitor.judge.report import Dropped, JudgeReport, Source, Tally
from retry_proxy.stream.text_tail import EndedText

logger = logging.getLogger("specwatch.judge")

KEPT_CHARACTERS = 4000
RESERVED_FOR_INCIDENTS = 0.5  # of each minute's allowance

TakeOpinion = Callable[[str, SecondOpinion], Awaitable[None]]


class Asked(Protocol):
    """Who answers: ``JudgeProcess``."""

    @property
    def is_up(self) -> bool: ...
    async def start(self) -> None: ...
    async def ask(self, question: Question) -> Reply: ...
    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """Options of the judge.

    Attributes:
        sample_rate: share of the answers without a finding that are judged as well.
        per_minute: most texts judged in a minute.
        queue_limit: texts waiting; beyond it they are dropped and counted.
    """

    sample_rate: float = 0.01
    per_minute: int = 12  # of up to 1,000 tokens each: less than one core
    queue_limit: int = 16


@dataclass(frozen=True, slots=True)
class _Waiting:
    rid: str
    source: Source
    question: Question = field(repr=False)


class Judge:
    """A ``TextSink``: ``ended`` never waits and never raises.

    Args:
        process: who answers.
        take_opinion: gets the opinion on each incident, by the attempt's id.
        draw: random numbers from 0 to 1, for the sample.
        now: monotonic time, seconds.
    """

    def __init__(
        self,
        process: Asked,
        take_opinion: TakeOpinion,
        options: JudgeOptions | None = None,
        *,
        draw: Callable[[], float] = random.random,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.options = options or JudgeOptions()
        self.kept_characters = KEPT_CHARACTERS
        self._process = process
        self._take_opinion = take_opinion
        self._draw = draw
        self._now = now
        self._allowance = Allowance(self.options.per_minute)
        self._tally = Tally()
        self._waiting: deque[_Waiting] = deque()
        self._has_waiting = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._is_gone = False

    def report(self) -> JudgeReport:
        """What it came to so far."""
        is_up = self._process.is_up and not self._is_gone
        return self._tally.report(is_up=is_up, waiting=len(self._waiting))

    def ended(self, text: EndedText) -> None:
        """Queue the text of an incident, or of a sampled answer."""
        source = Source.HEALTHY if text.verdict is None else Source.INCIDENT
        if source is Source.HEALTHY and self._draw() >= self.options.sample_rate:
            return
        refusal = self._refusal(source)
        if refusal is not None:
            self._tally.dropped[refusal] += 1
            return
        # Half a surrogate pair, as broken streams send it, cannot be packed.
        whole = text.text.encode(errors="replace").decode()
        question = Question(whole, text.characters_before_onset)
        self._waiting.append(_Waiting(text.rid, source, question))
        self._has_waiting.set()
        self._is_idle.clear()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Judge"]:
        """It answers meanwhile; what waits at the end is forgotten.

        Raises:
            JudgeUnavailable: it cannot start.
        """
        await self._process.start()
        work = asyncio.create_task(self._work())
        try:
            yield self
        finally:
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await work
            self._waiting.clear()
            await self._process.stop()

    async def idle(self) -> None:
        """Wait until nothing waits to be judged."""
        await self._is_idle.wait()

    def _refusal(self, source: Source) -> Dropped | None:
        if self._is_gone:
            return Dropped.GONE
        if len(self._waiting) >= self.options.queue_limit:
            return Dropped.QUEUE_FULL
        reserve = RESERVED_FOR_INCIDENTS if source is Source.HEALTHY else 0.0
        if not self._allowance.take(self._now(), reserve_share=reserve):
            return Dropped.RATE_LIMIT
        return None

    async def _work(self) -> None:
        while not self._is_gone:
            await self._has_waiting.wait()
            job = self._waiting.popleft()
            try:
                reply = await self._process.ask(job.question)
            except JudgeGone as error:
                self._give_up(error)
            else:
                await self._take_reply(job.rid, job.source, reply)
            del job  # the text with it
            if not self._waiting:
                self._has_waiting.clear()
                self._is_idle.set()

    async def _take_reply(self, rid: str, source: Source, reply: Reply) -> None:
        if not isinstance(reply, Answered):
            self._tally.dropped[Dropped.ERROR] += 1
            return
        self._tally.opinions[source][reply.opinion.opinion] += 1
        self._tally.seconds += reply.seconds
        if source is Source.INCIDENT:
            await self._take_opinion(rid, reply.opinion)

    def _give_up(self, error: JudgeGone) -> None:
        """Told once; the proxy goes on without a second opinion."""
        self._is_gone = True
        self._tally.dropped[Dropped.GONE] += 1 + len(self._waiting)
        self._waiting.clear()
        logger.warning("no more second opinions: the judge's process is gone (%s)", error)
