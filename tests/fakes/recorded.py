"""An engine that streams recordings, and a proxy in front of it: for the vendors' own clients."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.fakes.engine import FakeEngine
from tests.fakes.proxy import proxy_for
from tests.fakes.served import served

DATA = Path(__file__).parent.parent / "data" / "engines"
FILES = {
    "/v1/chat/completions": "handmade-chat-tools.sse",
    "/v1/messages": "handmade-messages.sse",
    "/v1/responses": "handmade-responses.sse",
}


# What an engine says at once that streams the recording. A response's is in its last event.
WHOLE = {
    "/v1/chat/completions": "handmade-chat-tools.json",
    "/v1/messages": "handmade-messages.json",
}


@asynccontextmanager
async def recorded_engine(files: Mapping[str, str] = FILES) -> AsyncIterator[str]:
    """An engine that streams the recordings, whatever and however often it is asked.

    Args:
        files: recording by path.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path in WHOLE and not (await request.json()).get("stream"):
            body = (DATA / WHOLE[request.path]).read_bytes()
            return web.Response(body=body, content_type="application/json")
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        data = (DATA / files[request.path]).read_bytes()
        for start in range(0, len(data), 700):
            await response.write(data[start : start + 700])
            await asyncio.sleep(0)
        return response

    app = web.Application()
    for path in files:
        app.router.add_post(path, answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def both() -> AsyncIterator[tuple[str, str]]:
    """Addresses of an engine and of a proxy in front of it."""
    async with recorded_engine() as engine, FakeEngine() as unused:
        unused.address = engine
        async with proxy_for(unused) as proxy, served(proxy) as address:
            yield engine, address
