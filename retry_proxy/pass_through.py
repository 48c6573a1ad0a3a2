"""Everything that is not watched: to a healthy replica and back, verbatim, streamed both ways."""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Message, Receive, Scope, Send

from retry_proxy.body import ClientGone, check_declared_length, run_while_connected, too_large
from retry_proxy.errors import BodyTooLarge, ConnectFailed, UpstreamError, error_body_for
from retry_proxy.fleet.fleet import Fleet
from retry_proxy.fleet.replica import Replica
from retry_proxy.fleet.ward import AttemptResult
from retry_proxy.headers import (
    Headers,
    decode_headers,
    encode_headers,
    for_client,
    for_pass_through,
)
from retry_proxy.stream.client import ClientStream
from retry_proxy.stream.upstream import UpstreamResponse


class PassThrough:
    """ASGI application.

    Args:
        max_body_bytes: longest request body; it is passed on as it comes, never kept.
    """

    def __init__(self, fleet: Fleet, max_body_bytes: int) -> None:
        self._fleet = fleet
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check_declared_length(scope["headers"], self._max_body_bytes)
        except BodyTooLarge as error:
            await _refuse_body(scope, send, error)
            return
        first = await receive()
        if first["type"] == "http.disconnect":
            return
        if first.get("more_body", False):
            body = _RequestBody(first, receive, self._max_body_bytes)
            work = self.forward(scope, body, send, extra_headers=[])
            await run_while_connected(work, body.receive_after)
            return
        whole = first.get("body", b"") or None
        await run_while_connected(self.forward(scope, whole, send, extra_headers=[]), receive)

    async def forward(
        self,
        scope: Scope,
        body: "bytes | _RequestBody | None",
        send: Send,
        *,
        extra_headers: Headers,
    ) -> None:
        """Sends the request to the first replica that takes the connection."""
        tried: set[str] = set()
        while (replica := self._fleet.choose(tried)) is not None:
            tried.add(replica.address)
            with self._fleet.lease(replica) as lease:
                try:
                    response = await self._open(replica, scope, body)
                except ConnectFailed as error:
                    self._fleet.note_connect_failed(replica, error)
                    continue
                except ClientGone:
                    return
                except BodyTooLarge as error:
                    await _refuse_body(scope, send, error)
                    return
                except UpstreamError as error:
                    replica.last_error = str(error)
                    self._fleet.note_ended(lease, AttemptResult.FAILED)
                    await _refuse(scope, send, 502, "upstream_failed", str(error), extra_headers)
                    return
                self._fleet.note_answered(replica)
                try:
                    await _answer(response, send, extra_headers)
                except UpstreamError as error:  # returning without an end cuts the client's too
                    replica.last_error = str(error)
                    self._fleet.note_ended(lease, AttemptResult.FAILED)
                return
        message = "no replica took the request"
        await _refuse(scope, send, 503, "no_replica_reachable", message, extra_headers)

    async def _open(
        self, replica: Replica, scope: Scope, body: "bytes | _RequestBody | None"
    ) -> UpstreamResponse:
        headers = for_pass_through(decode_headers(scope["headers"]))
        is_streamed = isinstance(body, _RequestBody)
        if is_streamed:
            headers += [
                pair for pair in decode_headers(scope["headers"]) if pair[0] == "content-length"
            ]
        return await self._fleet.upstream.open(
            scope["method"],
            replica.address + _target(scope),
            headers=headers,
            body=body.chunks() if isinstance(body, _RequestBody) else body,
            timeout_seconds=None,
        )


class _RequestBody:
    """A request body in pieces; can be started once."""

    def __init__(self, first: Message, receive: Receive, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._first = first
        self._receive = receive
        self._is_read = asyncio.Event()

    async def receive_after(self) -> Message:
        """What comes after the body: the client's leaving."""
        await self._is_read.wait()
        return await self._receive()

    async def chunks(self) -> AsyncIterator[bytes]:
        message, size = self._first, 0
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGone
            size += len(message.get("body", b""))
            if size > self._max_bytes:
                raise too_large(self._max_bytes)
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body", False):
                self._is_read.set()
                return
            message = await self._receive()


def _target(scope: Scope) -> str:
    raw_path = scope.get("raw_path") or scope["path"].encode()
    path: str = raw_path.split(b"?", 1)[0].decode("latin-1")
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{path}?{query}" if query else path


async def _answer(response: UpstreamResponse, send: Send, extra_headers: Headers) -> None:
    try:
        headers = encode_headers([*for_client(response.headers), *extra_headers])
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        while data := await response.next(None):
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        response.close()


async def _refuse_body(scope: Scope, send: Send, error: BodyTooLarge) -> None:
    headers = [("connection", "close")]  # its rest is not read
    await _refuse(scope, send, error.status, error.code, str(error), headers)


async def _refuse(
    scope: Scope, send: Send, status: int, code: str, message: str, extra_headers: Headers
) -> None:
    headers = dict(extra_headers)
    request_id = headers.pop("x-specwatch-request-id", "")
    client = ClientStream(send, request_id, error_body_for(scope["path"]))
    await client.respond_error(status, code, message, list(headers.items()))
