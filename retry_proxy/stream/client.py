"""The client's side of one request: raw ASGI. Knows whether the head was sent."""

import time
from collections.abc import Sequence

import msgspec
from starlette.types import Message, Send

from retry_proxy.errors import ErrorBody, error_body
from retry_proxy.headers import encode_headers
from retry_proxy.stream.writer import BodyWriter

HeaderPairs = Sequence[tuple[str, str]]


class ClientStream:
    """Writes one response. The head is sent once; afterwards there is no other status.

    Args:
        writer: writes at once where the server has one (see ``retry_proxy.edge``).
    """

    def __init__(
        self,
        send: Send,
        request_id: str,
        error_body: ErrorBody = error_body,
        writer: BodyWriter | None = None,
    ) -> None:
        self._send = send
        self._writer = writer
        self._head: Message | None = None  # of an event stream, not sent yet
        self._unsent: list[bytes] = []
        self._error_body = error_body
        self._request_id = request_id
        self.is_started = False
        self.started_at: float | None = None  # monotonic
        self.stalled_seconds = 0.0  # waited for the client to read

    def start_events(self, headers: HeaderPairs) -> None:
        """Settles the head of an event stream; it goes out with the first bytes."""
        event_stream = [
            ("content-type", "text/event-stream; charset=utf-8"),
            ("cache-control", "no-cache"),
            ("x-accel-buffering", "no"),  # else nginx in front holds the stream back
        ]
        self._head = self._started(200, [*event_stream, *headers])

    def write(self, data: bytes) -> bool:
        """Sends bytes of the body at once; false if they wait for ``flush``.

        They do where the client does not keep up, and where the server has no writer.
        """
        writer = self._writer
        if writer is None or self._unsent or writer.is_full:
            self._unsent.append(data)
            return False
        if self._head is not None:
            head, self._head = self._head, None
            writer.start(head)
        writer.write(data)
        return True

    async def flush(self) -> None:
        """Sends what waits; returns when the client has room for more."""
        if self._head is not None:
            head, self._head = self._head, None
            await self._send(head)
        if self._unsent:
            data = b"".join(self._unsent)
            self._unsent.clear()
            began = time.monotonic()
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
            self.stalled_seconds += time.monotonic() - began

    async def end(self) -> None:
        """Sends what waits, and ends the body."""
        await self.flush()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def respond(self, status: int, headers: HeaderPairs, body: bytes) -> None:
        """Sends a whole response."""
        await self._send(self._started(status, [("content-length", str(len(body))), *headers]))
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def respond_json(self, status: int, headers: HeaderPairs, body: object) -> None:
        """Sends a whole JSON response."""
        pairs = [("content-type", "application/json"), *headers]
        await self.respond(status, pairs, msgspec.json.encode(body))

    async def respond_error(
        self, status: int, code: str, message: str, headers: HeaderPairs = ()
    ) -> None:
        """Sends an error in the schema of the API."""
        await self.respond_json(status, headers, self._error_body(message, code, status))

    def _started(self, status: int, headers: HeaderPairs) -> Message:
        assert not self.is_started, "the response has already started"
        self.is_started = True
        self.started_at = time.monotonic()
        pairs = [*headers, ("x-specwatch-request-id", self._request_id)]
        return {"type": "http.response.start", "status": status, "headers": encode_headers(pairs)}
