"""Server-sent events to one page, for as long as it is open and reads."""

import asyncio

from fastapi import Response
from starlette.types import Receive, Scope, Send

from monitor.page.hub import Viewer
from retry_proxy.body import run_while_connected

HEARTBEAT_SECONDS = 5.0
SEND_SECONDS = 30.0  # who has not read anything for so long is gone
_HEARTBEAT = b": still here\n\n"


class LiveEvents(Response):
    """The response. It gives the viewer's place back however it ends."""

    media_type = "text/event-stream"

    def __init__(
        self,
        viewer: Viewer,
        *,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        # no-transform, x-accel-buffering: proxies in front must neither pack nor hold events back
        headers = {"cache-control": "no-store, no-transform", "x-accel-buffering": "no"}
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._viewer = viewer
        self._heartbeat_seconds = heartbeat_seconds
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await run_while_connected(self._tell(send), receive)
        finally:
            await self._viewer.leave()

    async def _tell(self, send: Send) -> None:
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(head)
        while (data := await self._viewer.next(self._heartbeat_seconds)) is not None:
            try:
                async with asyncio.timeout(self._send_seconds):
                    await _send_body(send, data or _HEARTBEAT, more=True)
            except TimeoutError:
                return
        await _send_body(send, b"", more=False)


async def _send_body(send: Send, data: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": more})
