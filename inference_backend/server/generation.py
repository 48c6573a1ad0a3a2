"""The generation routes: raw ASGI, one send a step; a client that leaves closes its generation."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing

from starlette.types import Receive, Scope, Send

from inference_backend.errors import BackendError, EngineStopped
from inference_backend.server.failures import BodyTooLarge, ErrorFormat, failure_of
from inference_backend.server.jobs import Job, ReadJob
from inference_backend.server.ports import Generator, Tokenizer
from inference_backend.server.textflow import TextStep, text_steps
from inference_backend.server.writer import DONE

MAX_BODY_BYTES = 32 * 1024 * 1024
Headers = Sequence[tuple[bytes, bytes]]
JSON: Headers = ((b"content-type", b"application/json"),)
EVENTS: Headers = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


class ClientGone(Exception):
    """The client left before its request was complete."""


class GenerationRoute:
    """ASGI app of one generation route.

    Answers start with the first step, so that a request that the engine refuses gets a real status.
    """

    def __init__(
        self, service: Generator, tokenizer: Tokenizer, read_job: ReadJob, error_format: ErrorFormat
    ) -> None:
        self._service = service
        self._tokenizer = tokenizer
        self._read_job = read_job
        self._error_format = error_format

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            job = await self._read_job(await read_body(receive))
        except ClientGone:
            return
        except BackendError as error:
            await self._send_error(send, error)
            return
        await run_while_connected(receive, self._answer(job, send))

    async def _answer(self, job: Job, send: Send) -> None:
        steps = text_steps(self._service, self._tokenizer, job.request, job.stops)
        async with aclosing(steps):
            try:
                first = await anext(steps, None)
            except BackendError as error:
                await self._send_error(send, error)
                return
            if first is None:
                await self._send_error(
                    send, EngineStopped("the engine ended the generation without an answer")
                )
            elif job.is_streaming:
                await self._stream(job, first, steps, send)
            else:
                await self._gather(job, first, steps, send)

    async def _stream(
        self, job: Job, first: TextStep, steps: AsyncGenerator[TextStep, None], send: Send
    ) -> None:
        await send_start(send, 200, EVENTS)
        await send_body(send, job.writer.opening() + job.writer.step(first), more=True)
        last = first
        try:
            async for last in steps:
                await send_body(send, job.writer.step(last), more=True)
        except BackendError as error:  # the status is out: told in the stream, as SGLang does
            await send_body(
                send, b"data: " + self._error_format(error) + b"\n\n" + DONE, more=False
            )
            return
        await send_body(send, job.writer.closing(last) + DONE, more=False)

    async def _gather(
        self, job: Job, first: TextStep, steps: AsyncGenerator[TextStep, None], send: Send
    ) -> None:
        texts, token_ids, last = [first.text], list(first.token_ids), first
        try:
            async for last in steps:
                texts.append(last.text)
                token_ids.extend(last.token_ids)
        except BackendError as error:
            await self._send_error(send, error)
            return
        await send_whole(send, 200, job.writer.whole("".join(texts), token_ids, last))

    async def _send_error(self, send: Send, error: BackendError) -> None:
        await send_whole(send, failure_of(error).status, self._error_format(error))


async def read_body(receive: Receive) -> bytes:
    """Reads the whole body.

    Raises:
        ClientGone: the client left first.
        BodyTooLarge: over ``MAX_BODY_BYTES``; the rest is not read.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"the request body is over {MAX_BODY_BYTES} bytes")
        if not message.get("more_body", False):
            return bytes(body)


async def run_while_connected(receive: Receive, work: Coroutine[object, object, None]) -> None:
    """Runs ``work`` and cancels it as soon as the client leaves; its errors are raised here."""
    worker = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(wait_for_disconnect(receive))
    try:
        await asyncio.wait({worker, watcher}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        watcher.cancel()
        if not worker.done():
            worker.cancel()
        await asyncio.gather(worker, watcher, return_exceptions=True)
    if not worker.cancelled():
        worker.result()


async def wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_start(send: Send, status: int, headers: Headers) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})


async def send_body(send: Send, body: bytes, *, more: bool) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def send_whole(send: Send, status: int, body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send_start(send, status, [*JSON, length])
    await send_body(send, body, more=False)
