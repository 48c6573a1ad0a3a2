"""An engine that streams recordings, as many answers as it is asked for, and counts what came."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from aiohttp import web

from tests.fakes.recorded import DATA

MOST_ANSWERS = 16  # a request for more passes through the proxy unread
_PREFIX, _END = b"data: ", b"\n\n"


@asynccontextmanager
async def counting_engine(files: Mapping[str, str], reached: Counter[str]) -> AsyncIterator[str]:
    """Its address.

    Args:
        files: recording by path.
        reached: counts the requests by path.
    """

    async def answer(request: web.Request) -> web.StreamResponse:
        reached[request.path] += 1
        body = msgspec.json.decode(await request.read())
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for part in copies((DATA / files[request.path]).read_bytes(), answers_wanted(body)):
            await response.write(part)
        return response

    app = web.Application(client_max_size=2**26)
    for path in files:
        app.router.add_post(path, answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def answers_wanted(body: dict[str, Any]) -> int:
    """``n`` for each prompt, as OpenAI's API has it; nonsense counts as one."""
    wanted, prompt = body.get("n"), body.get("prompt")
    count = max(wanted, 1) if isinstance(wanted, int) else 1
    if isinstance(prompt, list) and any(not isinstance(each, int) for each in prompt):
        count *= len(prompt)
    return min(count, MOST_ANSWERS)


def copies(recording: bytes, count: int) -> Iterator[bytes]:
    """The recording's events, those of its one choice for each of so many."""
    if count == 1:
        yield recording
        return
    for event in recording.split(_END)[:-1]:
        told = None if event == _PREFIX + b"[DONE]" else _told(event)
        if not told or not told.get("choices"):
            yield event + _END
            continue
        for index in range(count):
            choices = [{**told["choices"][0], "index": index}]
            yield _PREFIX + msgspec.json.encode({**told, "choices": choices}) + _END


def _told(event: bytes) -> dict[str, Any] | None:
    if not event.startswith(_PREFIX):
        return None
    told: dict[str, Any] = msgspec.json.decode(event[len(_PREFIX) :])
    return told
