"""The answer of one request.

What is held, and how released pieces reach the client. Decides nothing.
"""

import time

from detectors.verdict import AnomalyKind, Verdict
from retry_proxy.engines.adapter import Piece, Prefix
from retry_proxy.engines.call import GenerationCall
from retry_proxy.errors import Unanswered
from retry_proxy.stream.client import ClientStream, HeaderPairs
from retry_proxy.stream.encoders import build_encoder
from retry_proxy.stream.holdback import HoldBack
from retry_proxy.stream.plain import PlainEvents
from retry_proxy.stream.sse import comment_event

# What the head says of an answer whose end is not known yet: a head cannot be changed later, and
# trailers reach no client that we know. The monitor and, on a finding, a comment at the end say it.
_PENDING = "pending"
_NONE = "none"


class Answer:
    """One answer, streamed or assembled to one body, over one or more attempts."""

    def __init__(self, call: GenerationCall, client: ClientStream) -> None:
        self._call = call
        self._client = client
        self._encoder = build_encoder(call)
        self._attempts = 0
        self._plain = PlainEvents()
        self.hold = HoldBack()

    def start_attempt(self, prefix: Prefix | None, number: int) -> None:
        """The next pieces are a new attempt's, which starts after ``prefix``."""
        self._attempts = number
        self._plain = PlainEvents()
        self.hold.start_attempt()
        self._encoder.start_attempt(prefix)

    @property
    def has_released(self) -> bool:
        """The client has something of the answer that cannot be taken back."""
        return self._client.is_started

    def send(self, pieces: list[Piece]) -> bool:
        """Passes released pieces on; false if something waits for ``flush``."""
        data = self._encoder.encode(pieces)
        if not data or not self._call.is_streaming:
            return True
        self._learn(pieces, data)
        return self._write(data, verdict_headers(self._attempts, _PENDING))

    def plain_text(self, data: bytes) -> str | None:
        """The text of a plain event that may go on as it is; ``None``: read it in full."""
        return self._plain.text_of(data)

    def write_plain(self, data: bytes) -> bool:
        """Sends a plain event; false if it waits for ``flush``. ``count_plain`` has to follow."""
        return self._client.write(data)

    def count_plain(self, text: str, tokens: int) -> None:
        """Counts the text of plain events that were written."""
        self._encoder.count_plain(tokens)
        self.hold.pass_on(text, tokens, time.monotonic())

    async def flush(self) -> None:
        """Sends what waits; returns when the client has room for more."""
        await self._client.flush()

    async def complete(self, *, attempts: int, verdict: Verdict | None, is_at_limit: bool) -> None:
        """Releases what is held and ends the answer."""
        data = [self._encoder.encode(self.hold.release(time.monotonic()))]
        if is_at_limit:
            data.append(self._encoder.finish_at_limit())
        headers = verdict_headers(attempts, None if verdict is None else verdict.kind)
        if not self._call.is_streaming:
            await self._client.respond_json(200, headers, self._encoder.whole())
            return
        data.append(self._encoder.close())
        if verdict is not None:
            mark = f"specwatch verdict={verdict.kind.value} attempts={attempts}"
            data.append(comment_event(mark))
        data.append(self._encoder.end_mark())
        self._write(b"".join(data), headers)
        await self._client.end()

    async def fail(self, error: Unanswered, *, attempts: int, kind: AnomalyKind | None) -> None:
        """Tells an error: a real status before the first byte.

        Else in-band, and nothing after it that tells a whole answer.
        """
        if not self._client.is_started:
            headers = [
                *verdict_headers(attempts, kind),
                ("x-should-retry", "true" if error.should_retry else "false"),
            ]
            await self._client.respond_error(error.status, error.code, str(error), headers)
            return
        self._client.write(self._encoder.error(error))
        await self._client.end()

    def _learn(self, pieces: list[Piece], data: bytes) -> None:
        """An event that went on as it came can be the model for the next ones."""
        if not self._plain.is_known and len(pieces) == 1:
            piece = pieces[0]
            if data == piece.raw and piece.is_plain:
                self._plain.learn(data, piece.text)

    def _write(self, data: bytes, headers: HeaderPairs) -> bool:
        if not self._client.is_started:
            self._client.start_events(headers)
        return self._client.write(data)


def verdict_headers(attempts: int, verdict: str | None) -> HeaderPairs:
    """What the response headers say of the attempts and of the last one's finding."""
    return [("x-specwatch-attempts", str(attempts)), ("x-specwatch-verdict", verdict or _NONE)]
