"""The same over a real socket and the real web server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import uvicorn
from transformers import PreTrainedTokenizerFast

from inference_backend.server.app import build_app
from tests.fakes.byte_tokenizer import ids_of
from tests.fakes.generation import ScriptedService
from tests.inference_backend.server.conftest import MODEL

Ask = Callable[[bytes], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


@asynccontextmanager
async def listening(
    service: ScriptedService, tokenizer: PreTrainedTokenizerFast
) -> AsyncIterator[Ask]:
    """Runs the app in this loop; gives a function that posts to /generate."""
    app = build_app(service, tokenizer, MODEL)
    config = uvicorn.Config(app, port=0, log_level="warning", access_log=False, lifespan="off")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]

    async def ask(body: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        return reader, writer

    try:
        yield ask
    finally:
        await server.shutdown()


@pytest.mark.parametrize("is_streaming", ["true", "false"])
async def test_closed_socket_closes_the_generation(
    hub_tokenizer: PreTrainedTokenizerFast, is_streaming: str
) -> None:
    service = ScriptedService(steps=[ids_of("a")], ending=None)
    async with asyncio.timeout(5), listening(service, hub_tokenizer) as ask:
        _, writer = await ask(b'{"text": "x", "rid": "r1", "stream": %s}' % is_streaming.encode())
        await service.hangs.wait()
        writer.close()
        await service.ended.wait()
        await writer.wait_closed()
    assert (service.open_generations, service.closed) == (0, ["r1"])


async def test_stream_is_complete_and_the_connection_stays_open(
    hub_tokenizer: PreTrainedTokenizerFast,
) -> None:
    service = ScriptedService(steps=[ids_of("a"), ids_of("b")])
    async with asyncio.timeout(5), listening(service, hub_tokenizer) as ask:
        reader, writer = await ask(b'{"text": "x", "stream": true}')
        answer = await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"content-type: text/event-stream; charset=utf-8" in answer
    assert answer.count(b"data: ") == 3
