"""Everything that is not watched: to a healthy replica and back, verbatim, streamed both ways."""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Message, Receive, Scope, Send

from retry_proxy.body import ClientGone, run_while_connected
from retry_proxy.errors import ConnectFailed, UpstreamError, error_body_for
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
    """ASGI application."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = await receive()
        if first["type"] == "http.disconnect":
            return
        if first.get("more_body", False):
            body = _RequestBody(first, receive)
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

    def __init__(self, first: Message, receive: Receive) -> None:
        self._first = first
        self._receive = receive
        self._is_read = asyncio.Event()

    async def receive_after(self) -> Message:
        """What comes after the body: the client's leaving."""
        await self._is_read.wait()
        return await self._receive()

    async def chunks(self) -> AsyncIterator[bytes]:
        message = self._first
        while True:
            if message["type"] == "http.disconnect":
                raise ClientGone
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


async def _refuse(
    scope: Scope, send: Send, status: int, code: str, message: str, extra_headers: Headers
) -> None:
    headers = dict(extra_headers)
    request_id = headers.pop("x-specwatch-request-id", "")
    client = ClientStream(send, request_id, error_body_for(scope["path"]))
    await client.respond_error(status, code, message, list(headers.items()))
