"""The answer of one request.

What is held, and how released pieces reach the client. Decides nothing.
"""

import time

import msgspec

from detectors.verdict import Verdict
from retry_proxy.engines.adapter import Piece, Prefix
from retry_proxy.engines.call import GenerationCall
from retry_proxy.errors import Unanswered, error_body
from retry_proxy.stream.assemble import OpenAiAssembler
from retry_proxy.stream.client import ClientStream, HeaderPairs
from retry_proxy.stream.encode import GenerateEncoder, OpenAiEncoder, build_encoder
from retry_proxy.stream.holdback import HoldBack
from retry_proxy.stream.sse import DONE, comment_event, data_event


class Answer:
    """One answer, streamed or assembled to one body, over one or more attempts."""

    def __init__(self, call: GenerationCall, client: ClientStream) -> None:
        self._call = call
        self._client = client
        self._encoder = build_encoder(call)
        self._assembler = OpenAiAssembler(call)
        self.hold = HoldBack()

    def start_attempt(self, prefix: Prefix | None) -> None:
        """The next pieces are a new attempt's, which starts after ``prefix``."""
        self.hold.start_attempt()
        self._encoder.start_attempt(prefix)

    @property
    def has_released(self) -> bool:
        """The client has something of the answer that cannot be taken back."""
        return self._client.is_started

    async def send(self, pieces: list[Piece]) -> None:
        """Passes released pieces on."""
        if not self._call.is_streaming:
            self._assembler.add(pieces)
            self._encoder.encode(pieces)
            return
        data = self._encoder.encode(pieces)
        if data:
            await self._write(data, ())

    async def complete(self, *, attempts: int, verdict: Verdict | None, is_at_limit: bool) -> None:
        """Releases what is held and ends the answer."""
        pieces = self.hold.release(time.monotonic())
        headers = [("x-specwatch-attempts", str(attempts))]
        if verdict is not None:
            headers.append(("x-specwatch-verdict", verdict.kind.value))
        if not self._call.is_streaming:
            await self.send(pieces)
            await self._client.respond_json(200, headers, self._body(is_at_limit))
            return
        data = [self._encoder.encode(pieces)]
        if is_at_limit:
            data.append(self._encoder.finish_at_limit())
        data.append(self._encoder.close())
        if verdict is not None:
            mark = f"specwatch verdict={verdict.kind.value} attempts={attempts}"
            data.append(comment_event(mark))
        data.append(DONE)
        await self._write(b"".join(data), headers)
        await self._client.end()

    async def fail(self, error: Unanswered, *, attempts: int) -> None:
        """Tells an error: a real status before the first byte.

        In-band and without ``[DONE]`` after.
        """
        if not self._client.is_started:
            headers = [
                ("x-specwatch-attempts", str(attempts)),
                ("x-should-retry", "true" if error.should_retry else "false"),
            ]
            await self._client.respond_error(error.status, error.code, str(error), headers)
            return
        body = error_body(str(error), error.code, error.status)
        await self._client.write(data_event(msgspec.json.encode(body)))
        await self._client.end()

    def _body(self, is_at_limit: bool) -> object:
        if isinstance(self._encoder, GenerateEncoder):
            return self._encoder.whole()
        if is_at_limit:
            self._assembler.finish_at_limit()
        assert isinstance(self._encoder, OpenAiEncoder), "the routes have two encoders"
        usage = self._encoder.usage(self._assembler.last_usage())
        return self._assembler.body(self._encoder.identity, usage)

    async def _write(self, data: bytes, headers: HeaderPairs) -> None:
        if not self._client.is_started:
            await self._client.start_events(headers)
        await self._client.write(data)
