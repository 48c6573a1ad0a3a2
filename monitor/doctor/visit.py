"""Asks one replica: its pages, one tiny answer, one long answer that is aborted. Waits only."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import msgspec

from monitor.doctor.facts import Abort, AbortEnd, Facts, Sample, Signal
from monitor.engine_metrics.names import Quantity
from monitor.engine_metrics.reading import Reading, read_metrics
from retry_proxy.engines.adapter import AttemptPlan, ChunkReader, EngineAdapter, Piece
from retry_proxy.engines.call import GenerationCall, Route, parse_call
from retry_proxy.engines.detect import DENIED, build_adapter, describe
from retry_proxy.errors import UpstreamError
from retry_proxy.fleet.health import fetch_answers
from retry_proxy.headers import Headers
from retry_proxy.stream.sse import SseParser
from retry_proxy.stream.upstream import Upstream, UpstreamResponse

SAMPLE_TOKENS = 24
LONG_TOKENS = 1024
ABORT_AFTER_TOKENS = 8
_WAIT_SECONDS = 10.0  # for an aborted generation to end
_POLL_SECONDS = 0.1
_MAX_EVENT_BYTES = 2**20
_PROMPT = "Count from one to one thousand, in words."


class Visit:
    """One replica.

    Args:
        api_key: sent as a bearer token.
        timeout_seconds: of each answer's head, and of each silence within one.
    """

    def __init__(
        self, upstream: Upstream, address: str, api_key: str | None, timeout_seconds: float
    ) -> None:
        self._upstream = upstream
        self._address = address.rstrip("/")
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds
        self._headers: Headers = []
        if api_key is not None:
            self._headers = [("authorization", f"Bearer {api_key}")]

    async def facts(self, wanted: str = "auto", *, may_generate: bool = True) -> Facts:
        """Everything. An address that cannot be asked is told as one, not raised."""
        try:
            answers = await fetch_answers(
                self._upstream,
                self._address,
                self._timeout_seconds,
                api_key=self._api_key,
                wanted=wanted,
            )
        except UpstreamError as error:
            return Facts(self._address, error=str(error))
        profile = describe(answers, wanted)
        page = answers.get("/metrics")
        is_page = isinstance(page, str) and page != DENIED
        info = answers.get("/server_info") or answers.get("/get_server_info")
        adapter = build_adapter(profile)
        sample = await self._sample(adapter) if may_generate else None
        has_answered = sample is not None and sample.error is None
        return Facts(
            self._address,
            profile=profile,
            server_info=info if isinstance(info, dict) else {},
            metrics=read_metrics(str(page), profile.name) if is_page else None,
            needs_key=DENIED in answers.values(),
            sample=sample,
            abort=await self._abort(adapter) if has_answered else None,
        )

    async def _sample(self, adapter: EngineAdapter) -> Sample:
        call = chat(adapter, SAMPLE_TOKENS)
        reader = adapter.reader(call)
        signal, tokens, has_ids = Signal.NONE, 0, False
        try:
            response = await self._begin(adapter, call, uuid.uuid4().hex)
            try:
                async for piece in self._pieces(response, reader):
                    tokens += piece.tokens
                    has_ids = has_ids or piece.token_ids is not None
                    signal = better(signal, piece)
            finally:
                response.close()
        except UpstreamError as error:
            return Sample(error=str(error))
        if signal is Signal.NONE and reader.final is not None:
            signal = Signal.AT_THE_END
        return Sample(signal, tokens, has_ids)

    async def _abort(self, adapter: EngineAdapter) -> Abort:
        call, rid = chat(adapter, LONG_TOKENS), uuid.uuid4().hex
        before = await self._running(adapter)
        try:
            response = await self._begin(adapter, call, rid)
            try:
                return await self._abort_running(adapter, call, rid, response, before)
            finally:
                response.close()
        except UpstreamError as error:
            return Abort(AbortEnd.FAILED, reason=str(error))

    async def _abort_running(
        self,
        adapter: EngineAdapter,
        call: GenerationCall,
        rid: str,
        response: UpstreamResponse,
        before: float | None,
    ) -> Abort:
        pieces = self._pieces(response, adapter.reader(call))
        tokens = 0
        async for piece in pieces:
            tokens += piece.tokens
            if piece.is_finish:
                return Abort(AbortEnd.ENDED_BEFORE)
            if tokens >= ABORT_AFTER_TOKENS:
                break
        began = time.monotonic()
        order = adapter.abort(call, rid)
        if order is None:
            response.close()
            return await self._watch(adapter, before, began)
        told = await self._upstream.open(
            "POST",
            self._address + order.path,
            headers=[*self._headers, ("content-type", "application/json")],
            body=msgspec.json.encode(order.body),
            timeout_seconds=self._timeout_seconds,
        )
        told.close()
        if told.status >= 400:
            return Abort(AbortEnd.REFUSED, reason=f"status {told.status}")
        return await _read_out(pieces, tokens, began)

    async def _watch(self, adapter: EngineAdapter, before: float | None, began: float) -> Abort:
        """By its metrics; only an idle replica's say something about one generation."""
        if before is None:
            return Abort(AbortEnd.UNSEEN, reason="no metrics of running requests")
        if before > 0:
            return Abort(AbortEnd.UNSEEN, reason="the replica was busy with other requests")
        while (seconds := time.monotonic() - began) < _WAIT_SECONDS:
            if await self._running(adapter) == 0:
                return Abort(AbortEnd.STOPPED, seconds)
            await asyncio.sleep(_POLL_SECONDS)
        return Abort(AbortEnd.RAN_ON, seconds)

    async def _running(self, adapter: EngineAdapter) -> float | None:
        reading = await self._reading(adapter.profile.name)
        return None if reading is None else reading.values.get(Quantity.RUNNING)

    async def _reading(self, engine: str) -> Reading | None:
        try:
            response = await self._upstream.open(
                "GET",
                f"{self._address}/metrics",
                headers=self._headers,
                body=None,
                timeout_seconds=self._timeout_seconds,
            )
            body = await response.read(2**23)
            response.close()
        except UpstreamError:
            return None
        return (
            None
            if response.status != 200
            else read_metrics(body.decode("utf-8", "replace"), engine)
        )

    async def _begin(
        self, adapter: EngineAdapter, call: GenerationCall, rid: str
    ) -> UpstreamResponse:
        response = await self._upstream.open(
            "POST",
            self._address + call.route.value,
            headers=[
                *self._headers,
                ("content-type", "application/json"),
                ("accept", "text/event-stream"),
            ],
            body=msgspec.json.encode(adapter.body(call, AttemptPlan(rid))),
            timeout_seconds=self._timeout_seconds,
        )
        if response.status != 200:
            body = (await response.read(500)).decode("utf-8", "replace")
            response.close()
            raise UpstreamError(f"status {response.status}: {' '.join(body.split())[:200]}")
        return response

    async def _pieces(
        self, response: UpstreamResponse, reader: ChunkReader
    ) -> AsyncIterator[Piece]:
        parser = SseParser(_MAX_EVENT_BYTES)
        while data := await response.next(self._timeout_seconds):
            for event in parser.feed(data):
                if event.data == b"[DONE]":
                    return
                if event.data is not None:
                    yield reader.read(_decoded(event.data), event.raw)


async def _read_out(pieces: AsyncIterator[Piece], tokens: int, began: float) -> Abort:
    """The stream of an aborted generation ends, or goes on to its length."""
    try:
        async with asyncio.timeout(_WAIT_SECONDS):
            async for piece in pieces:
                tokens += piece.tokens
    except TimeoutError:
        return Abort(AbortEnd.RAN_ON, time.monotonic() - began)
    except UpstreamError:
        pass  # engines end an aborted stream as they like: told as an error, or cut
    seconds = time.monotonic() - began
    return Abort(AbortEnd.RAN_ON if tokens >= LONG_TOKENS else AbortEnd.STOPPED, seconds)


def chat(adapter: EngineAdapter, max_tokens: int) -> GenerationCall:
    """A streamed chat of that length, where the engine can be made to write on."""
    body = {
        "model": (adapter.profile.models or ("default",))[0],
        "messages": [{"role": "user", "content": _PROMPT}],
        "max_tokens": max_tokens,
        "temperature": 0.7,
        "stream": True,
    }
    if adapter.profile.name != "openai":  # others may refuse what they do not know
        body["ignore_eos"] = True
    return parse_call(Route.CHAT, msgspec.json.encode(body))


def better(so_far: Signal, piece: Piece) -> Signal:
    """What one more chunk shows of the answer's signal."""
    seen = piece.observation
    if so_far is Signal.EXACT or seen.steps is None:
        return so_far
    return Signal.UPPER_BOUND if seen.is_upper_bound else Signal.EXACT


def _decoded(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)
    except msgspec.DecodeError as error:
        raise UpstreamError(f"an event is no JSON: {error}") from error
