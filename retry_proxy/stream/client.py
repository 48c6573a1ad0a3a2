"""The client's side of one request: raw ASGI. Knows whether the head was sent."""

import time
from collections.abc import Sequence

import msgspec
from starlette.types import Send

from retry_proxy.errors import ErrorBody, error_body
from retry_proxy.headers import encode_headers

HeaderPairs = Sequence[tuple[str, str]]


class ClientStream:
    """Writes one response. The head is sent once; afterwards there is no other status."""

    def __init__(self, send: Send, request_id: str, error_body: ErrorBody = error_body) -> None:
        self._send = send
        self._error_body = error_body
        self._request_id = request_id
        self.is_started = False
        self.started_at: float | None = None  # monotonic

    async def start_events(self, headers: HeaderPairs) -> None:
        """Sends the head of an event stream."""
        await self._start(
            200,
            [
                ("content-type", "text/event-stream; charset=utf-8"),
                ("cache-control", "no-cache"),
                ("x-accel-buffering", "no"),  # else nginx in front holds the stream back
                *headers,
            ],
        )

    async def write(self, data: bytes) -> None:
        """Sends bytes of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """Ends the body."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def respond(self, status: int, headers: HeaderPairs, body: bytes) -> None:
        """Sends a whole response."""
        await self._start(status, [("content-length", str(len(body))), *headers])
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

    async def _start(self, status: int, headers: HeaderPairs) -> None:
        assert not self.is_started, "the response has already started"
        self.is_started = True
        self.started_at = time.monotonic()
        pairs = [*headers, ("x-specwatch-request-id", self._request_id)]
        start = {"type": "http.response.start", "status": status, "headers": encode_headers(pairs)}
        await self._send(start)
