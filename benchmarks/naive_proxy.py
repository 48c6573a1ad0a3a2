"""What one writes in an afternoon: FastAPI, httpx, and json.loads on every event.

``python -m benchmarks.naive_proxy UPSTREAM PORT``.
"""

import json
import sys
from collections.abc import AsyncIterator

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse


def build(upstream: str) -> FastAPI:
    """Passes a stream on, looking into every event."""
    app = FastAPI()
    client = httpx.AsyncClient(base_url=upstream, timeout=None)

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> StreamingResponse:
        body = await request.body()

        async def events() -> AsyncIterator[bytes]:
            async with client.stream("POST", "/v1/chat/completions", content=body) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data: {"):
                        json.loads(line[len("data: ") :])
                    if line:
                        yield line.encode() + b"\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    return app


if __name__ == "__main__":
    uvicorn.run(
        build(sys.argv[1]),
        host="127.0.0.1",
        port=int(sys.argv[2]),
        log_level="warning",
        access_log=False,
    )
