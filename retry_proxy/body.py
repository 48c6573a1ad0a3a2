"""The client's request body and its leaving, as ASGI tells them."""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable
from typing import Any

from starlette.types import Receive

from retry_proxy.errors import BodyTooLarge
from retry_proxy.stream.writer import BodyWriter


class ClientGone(Exception):
    """The client left before its request was complete."""


async def read_body(receive: Receive, max_bytes: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: over ``max_bytes``; told before more is read.
        ClientGone: the client left.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(body)


def check_declared_length(headers: Iterable[tuple[bytes, bytes]], max_bytes: int) -> None:
    """Before anything of the body is read.

    Raises:
        BodyTooLarge: the client itself says so.
    """
    for name, value in headers:
        if name.lower() == b"content-length" and value.isdigit() and int(value) > max_bytes:
            raise too_large(max_bytes)


def too_large(max_bytes: int) -> BodyTooLarge:
    """The same words wherever it is noticed."""
    return BodyTooLarge(f"the body is larger than {max_bytes} bytes")


async def wait_until_gone(receive: Receive) -> None:
    """Returns when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def run_while_connected(
    work: Coroutine[Any, Any, None], receive: Receive, writer: BodyWriter | None = None
) -> None:
    """Runs work and cancels it when the client leaves; the body must have been read.

    Args:
        writer: tells of the leaving, where the server has one: no other task has to wait for it.
    """
    if writer is not None:
        await _run_until_gone(work, writer)
        return
    task = asyncio.create_task(work)
    watcher = asyncio.create_task(wait_until_gone(receive))
    try:
        await asyncio.wait((task, watcher), return_when=asyncio.FIRST_COMPLETED)
    finally:
        watcher.cancel()
        is_cut_short = not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watcher
        if is_cut_short:
            with contextlib.suppress(asyncio.CancelledError):
                await task
    if not is_cut_short:
        task.result()


async def _run_until_gone(work: Coroutine[Any, Any, None], writer: BodyWriter) -> None:
    """In this task, which is the request's own."""
    task = asyncio.current_task()
    assert task is not None, "no task runs"
    gone = False

    def leave() -> None:
        nonlocal gone
        gone = True
        task.cancel()

    if writer.is_gone:
        work.close()
        return
    writer.on_gone = leave
    try:
        await work
    except asyncio.CancelledError:
        if not gone or task.uncancel() > 0:
            raise
    finally:
        writer.on_gone = None
