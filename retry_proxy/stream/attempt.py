"""One dispatch to one replica: reads its stream to an end and tells how it ended."""

import time
from collections.abc import Callable

import msgspec

from detectors.verdict import Verdict
from retry_proxy.config import ProxyConfig
from retry_proxy.decide.release import ReleasePolicy
from retry_proxy.decide.retry import Action, Decision
from retry_proxy.engines.adapter import ChunkReader, FinalCounters, Piece, Totals
from retry_proxy.errors import (
    EngineReportedError,
    MalformedStream,
    StreamCut,
    UpstreamError,
)
from retry_proxy.stream.answer import Answer
from retry_proxy.stream.choice_panels import ChoicePanels
from retry_proxy.stream.ending import AttemptEnd, EndKind, read_refusal
from retry_proxy.stream.kept_text import KeptText
from retry_proxy.stream.plain_lane import PlainLane
from retry_proxy.stream.sse import SseParser
from retry_proxy.stream.step_track import StepTrack
from retry_proxy.stream.upstream import UpstreamResponse

_PROGRESS_TOKENS = 16  # told so often
_NEVER = 1 << 60

_decode = msgspec.json.Decoder().decode


class Attempt:
    """Reads one upstream stream, holds and releases its pieces.

    Args:
        decide: the relay's decision on a verdict; the attempt acts on it.
        kept_characters: of the text, for whoever reads ended attempts; 0 keeps none.
        progress: told now and then how many tokens have arrived.
    """

    def __init__(
        self,
        *,
        config: ProxyConfig,
        policy: ReleasePolicy,
        answer: Answer,
        panel: ChoicePanels,
        reader: ChunkReader,
        decide: Callable[[Verdict], Decision],
        kept_characters: int = 0,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        self._config = config
        self._policy = policy
        self._answer = answer
        self._panel = panel
        self._reader = reader
        self._decide = decide
        self._parser = SseParser(config.max_event_bytes)
        self._is_finished = False
        self._is_complete = False  # nothing follows
        self._stopped_by: Decision | None = None
        self._is_let_through = False
        self.kept = KeptText(config.capture_text, kept_characters)
        self._progress = progress
        self._progress_due = 1 if progress is not None else _NEVER
        self._lane = PlainLane(answer, reader)
        self._has_upper_bound = False
        self.steps = StepTrack()
        self.totals = Totals()
        self.verdict: Verdict | None = None
        self.leaked_tokens = 0
        self.has_ended = False  # the engine itself is done: nothing to abort

    async def read(self, response: UpstreamResponse) -> tuple[AttemptEnd, UpstreamResponse | None]:
        """Reads to an end.

        Returns:
            How it ended, and the response if it still has to be drained.
        """
        is_kept = False
        try:
            end = await self._read(response)
            is_kept = end.kind is EndKind.COMPLETED
        except UpstreamError as error:
            end = await self.end_of_broken(error)
        finally:
            self._book_passed()
            if not is_kept:
                response.close()
        return end, response if is_kept else None

    @property
    def crashed_detectors(self) -> list[str]:
        """Names of detectors that crashed in this attempt."""
        return self._panel.crashed

    @property
    def is_watching(self) -> bool:
        """Some detector's statistic is past its watch level."""
        return self._panel.is_watching

    @property
    def final(self) -> FinalCounters | None:
        """The engine's own numbers, once it told them."""
        return self._reader.final

    @property
    def is_upper_bound(self) -> bool:
        """The acceptance was derived from chunk sizes, and no exact numbers came at the end."""
        return self._has_upper_bound and self._reader.final is None

    async def _read(self, response: UpstreamResponse) -> AttemptEnd:
        if response.status != 200:
            self.has_ended = True
            return await read_refusal(response)
        limit = self._config.first_byte_timeout_seconds
        stall = self._config.stall_timeout_seconds
        while True:
            is_over = await response.feed(self._take_bytes, limit, stall)
            await self._answer.flush()
            if self._stopped_by is not None:
                await self._stop(self._stopped_by)
                return AttemptEnd(EndKind.STOPPED, decision=self._stopped_by, verdict=self.verdict)
            if self._is_complete:
                return await self._end_of_stream()
            if is_over:
                break
            limit = stall
        if self._parser.has_rest:
            raise StreamCut("the stream ended within an event")
        return await self._end_of_stream()

    def _take_bytes(self, data: bytes) -> bool:
        """Reads, judges and passes on what arrived; false: no more now.

        Runs within the socket's callback: a task would be woken for every token otherwise.
        """
        goes_on = self._lane.pass_on(data) if self._parser.is_empty else None
        if goes_on is not None:
            return goes_on if not self._lane.is_due else self._judge_passed() and goes_on
        if not self._judge_passed():
            return False
        for event in self._parser.feed(data):
            if event.data is None:
                continue
            if event.data == b"[DONE]":
                self._is_complete = True
                return False
            piece = self._read_piece(event.data, event.raw)
            self._stopped_by = self._take(piece)
            self._is_complete = piece.is_last
            if self._stopped_by is not None or self._is_complete:
                return False
        return self._release()

    def _judge_passed(self) -> bool:
        """Judges what the lane passed on; false if the attempt must stop."""
        seen = self._lane.settle()
        if seen is None:
            return True
        self.totals.tokens += seen.estimated_tokens or 0
        if self.totals.tokens >= self._progress_due:
            self._tell_progress()
        self._stopped_by = self._on_verdict(self._panel.update_single(seen))
        if self.verdict is not None or self._panel.is_watching:
            self._lane.is_open = False
        return self._stopped_by is None

    def _book_passed(self) -> None:
        """The same for the books alone: the stream is over."""
        seen = self._lane.settle()
        if seen is not None:
            self.totals.tokens += seen.estimated_tokens or 0

    def _tell_progress(self) -> None:
        if self._progress is not None:
            self._progress_due = self.totals.tokens + _PROGRESS_TOKENS
            self._progress(self.totals.tokens)

    def _read_piece(self, data: bytes, raw: bytes) -> Piece:
        try:
            payload = _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedStream("an event is not valid JSON") from error
        return self._reader.read(payload, raw)

    def _take(self, piece: Piece) -> Decision | None:
        """Counts, holds and judges one piece; returns a decision if the attempt must stop."""
        self._book(piece)
        return None if self.verdict is not None else self._on_verdict(self._panel.update(piece))

    def _book(self, piece: Piece) -> None:
        """Counts and holds one piece."""
        self.totals.add(piece)
        self._answer.hold.hold(piece, time.monotonic())
        seen = piece.observation
        if self.kept.is_wanted:
            tokens = self.totals.tokens
            self.kept.add(seen.text, tokens, tokens - piece.tokens)
        if self.totals.tokens >= self._progress_due:
            self._tell_progress()
        self._has_upper_bound = self._has_upper_bound or seen.is_upper_bound
        self._is_finished = self._is_finished or piece.is_finish
        self.steps.note(seen)

    def _on_verdict(self, verdict: Verdict | None) -> Decision | None:
        self.verdict = verdict
        if self.verdict is None:
            return None
        self.kept.note_verdict()
        released = self._answer.hold.attempt_released_tokens
        self.leaked_tokens = max(0, released - self.verdict.onset_token)
        decision = self._decide(self.verdict)
        if decision.action is Action.LET_THROUGH:
            self._is_let_through = True
            return None
        return decision

    def _release(self) -> bool:
        """Passes on what may go; false if something waits to be flushed."""
        hold = self._answer.hold
        is_watching = self._panel.is_watching
        can_release = self._policy.can_release(
            is_watching=is_watching and not self._is_let_through,
            tokens=hold.answer_tokens,
            is_complete=False,
        )
        is_quiet = self.verdict is None and not is_watching
        self._lane.is_open = can_release and is_quiet and not self.kept.is_wanted
        # A role chunk alone waits for the first text: until then a restart can stay silent and an
        # error has a real status.
        if not hold.held or not (self._answer.has_released or hold.has_held_output):
            return True
        now, bounds = time.monotonic(), self._policy.bounds
        if can_release:
            return self._answer.send(hold.release(now))
        if bounds is not None and (over := hold.release_over(bounds, now)):
            return self._answer.send(over)
        return True

    async def _stop(self, decision: Decision) -> None:
        """Keeps what is good of the held text, where the answer goes on after it."""
        assert self.verdict is not None, "stopped without a verdict"
        hold = self._answer.hold
        if decision.action is Action.CONTINUE:
            keep = self._policy.last_good_token(self.verdict.onset_token)
            self._answer.send(hold.cut(keep, time.monotonic()))
            await self._answer.flush()
        else:
            hold.drop(time.monotonic())

    async def _end_of_stream(self) -> AttemptEnd:
        self.has_ended = True
        if not self._is_finished:
            return await self.end_of_broken(StreamCut("it ended without a finish reason"))
        return AttemptEnd(EndKind.COMPLETED, verdict=self.verdict)

    async def end_of_broken(self, error: UpstreamError) -> AttemptEnd:
        """A stream that breaks after its finish reason has given the whole answer.

        Otherwise what is good goes on, if the answer must be continued anyway; else it starts
        again.
        """
        if self._is_finished:
            return AttemptEnd(EndKind.COMPLETED, verdict=self.verdict)
        if isinstance(error, EngineReportedError):
            self.has_ended = True
        self._book_passed()
        if self._answer.has_released:
            self._release()
            await self._answer.flush()
        self._answer.hold.drop(time.monotonic())
        return AttemptEnd(EndKind.FAILED, error=error)
