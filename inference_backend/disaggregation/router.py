"""The front of a disaggregated engine: sends each request to a prefill and a decode replica.

It adds the fields that SGLang's router adds (``bootstrap_host``, ``bootstrap_port``,
``bootstrap_room``), sends the same body to both, and passes the decode's answer on as it comes.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from inference_backend.server.generation import wait_for_disconnect
from inference_backend.server.jobs import MAX_ROOM

GENERATING = ("/generate", "/v1/chat/completions", "/v1/completions")
HOP_BY_HOP = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})
CLIENT_GONE = 499  # nginx's number; nobody reads it
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=5.0)
DOWN_SECONDS = 2.0

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class PrefillAddress:
    """A prefill replica: its HTTP address, and where decode lends it pages."""

    url: str
    bootstrap_host: str
    bootstrap_port: int


class Turns:
    """Which of several replicas is next. One that could not be reached is left out for a while."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = deque(urls)
        self._down_until: dict[str, float] = {}

    def take(self, now: float) -> str:
        """The next one that is not left out; the next one of all if there is none."""
        for _ in range(len(self._urls)):
            self._urls.rotate(-1)
            if self._down_until.get(self._urls[-1], now) <= now:
                return self._urls[-1]
        self._urls.rotate(-1)
        return self._urls[-1]

    def failed(self, url: str, now: float) -> None:
        self._down_until[url] = now + DOWN_SECONDS


class Router:
    """Takes the pairs in turn; a retry of the same request meets another pair and a fresh room."""

    def __init__(self, prefills: Sequence[PrefillAddress], decodes: Sequence[str]) -> None:
        self._addresses = {prefill.url: prefill for prefill in prefills}
        self._prefills, self._decodes = Turns(list(self._addresses)), Turns(decodes)
        self._all = [*(prefill.url for prefill in prefills), *decodes]
        self._first_decode = decodes[0]
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def live(self, _: Starlette) -> AsyncIterator[None]:
        # Long streams: no limit of connections but the replicas' own queues.
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(timeout=TIMEOUT, connector=connector) as session:
            self._session = session
            yield

    async def generate(self, request: Request) -> Response:
        """Both legs. What the prefill refuses is answered at once."""
        try:
            body: dict[str, Any] = msgspec.json.decode(await request.body(), type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return failure(400, f"invalid request body: {error}")
        now = time.monotonic()
        prefill = self._addresses[self._prefills.take(now)]
        decode = self._decodes.take(now)
        body |= {
            "bootstrap_host": prefill.bootstrap_host,
            "bootstrap_port": prefill.bootstrap_port,
            "bootstrap_room": random.randrange(MAX_ROOM),
        }
        content = msgspec.json.encode(body)
        path = request.url.path
        leg = asyncio.ensure_future(
            noting(self._prefills, prefill.url, self._prefill(prefill.url + path, content))
        )
        answer = asyncio.ensure_future(
            noting(self._decodes, decode, self._post(decode + path, content))
        )
        gone = asyncio.ensure_future(wait_for_disconnect(request.receive))
        try:
            early = await first_word(leg, answer, gone)
            if early is not None:
                await asyncio.gather(drop(leg), drop(answer))
                return early
            response = answer.result()
        except aiohttp.ClientError as error:
            await asyncio.gather(drop(leg), drop(answer))
            return failure(503, f"a replica cannot be reached: {error}")
        except asyncio.CancelledError:
            await asyncio.gather(drop(leg), drop(answer))
            raise
        finally:
            await drop(gone)
        return StreamingResponse(
            self._body(response, leg), response.status, passed_headers(response)
        )

    async def _prefill(self, url: str, content: bytes) -> Response | None:
        """``None``: it computed the prompt; else what it answered instead."""
        body: dict[str, Any] = msgspec.json.decode(content)
        response = await self._post(url, msgspec.json.encode(body | {"stream": False}))
        async with response:
            answer = await response.read()
        if response.status == 200:
            return None
        return Response(answer, response.status, passed_headers(response))

    async def _body(
        self, response: aiohttp.ClientResponse, leg: "asyncio.Task[Response | None]"
    ) -> AsyncIterator[bytes]:
        """The decode's bytes. A client that leaves closes both legs."""
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        finally:
            response.close()
            await drop(leg)

    async def _post(self, url: str, content: bytes) -> aiohttp.ClientResponse:
        assert self._session is not None
        headers = {"content-type": "application/json"}
        return await self._session.post(url, data=content, headers=headers)

    async def to_decode(self, request: Request) -> Response:
        """Information comes from the first decode replica."""
        assert self._session is not None
        try:
            async with self._session.get(self._first_decode + request.url.path) as response:
                content = await response.read()
                return Response(content, response.status, passed_headers(response))
        except aiohttp.ClientError as error:
            return failure(503, f"the decode replica cannot be reached: {error}")

    async def health(self, _: Request) -> Response:
        """200 if every replica says so."""
        assert self._session is not None
        for url in self._all:
            try:
                async with self._session.get(url + "/health") as response:
                    if response.status != 200:
                        return failure(503, f"{url} answers {response.status}")
            except aiohttp.ClientError as error:
                return failure(503, f"{url} cannot be reached: {error}")
        return Response()

    async def abort(self, request: Request) -> Response:
        """Both kinds know the request under the same id."""
        content = await request.body()
        aborted = 0
        for url in self._all:
            response = await self._post(url + "/abort_request", content)
            async with response:
                if response.status != 200:
                    return Response(await response.read(), response.status)
                aborted += int((await response.json()).get("aborted", 0))
        return JSONResponse({"aborted": aborted})


async def noting(turns: Turns, url: str, call: Awaitable[Result]) -> Result:
    """Passes on what ``call`` gives; a replica that fails is left out for a while."""
    try:
        return await call
    except aiohttp.ClientError:
        turns.failed(url, time.monotonic())
        raise


async def first_word(
    leg: "asyncio.Task[Response | None]",
    answer: "asyncio.Task[aiohttp.ClientResponse]",
    gone: "asyncio.Task[None]",
) -> Response | None:
    """Waits for the decode's answer.

    Returns what to answer instead: the prefill refused, or nobody is there any more.

    Raises:
        aiohttp.ClientError: a replica cannot be reached.
    """
    while not answer.done():
        waited = {task for task in (leg, answer, gone) if not task.done()}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            return Response(status_code=CLIENT_GONE)
        if leg.done() and not answer.done() and (refusal := leg.result()) is not None:
            return refusal
    return None


async def drop(task: "asyncio.Task[Any]") -> None:
    """Cancels a leg that nobody waits for any more; a response that came is closed."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    if task.cancelled() or task.exception() is not None:
        return
    if isinstance(response := task.result(), aiohttp.ClientResponse):
        response.close()


def passed_headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {
        name: value for name, value in response.headers.items() if name.lower() not in HOP_BY_HOP
    }


def failure(status: int, message: str) -> JSONResponse:
    error = {"message": message, "type": "router_error", "code": status}
    return JSONResponse({"error": error}, status)


def build_router(prefills: Sequence[PrefillAddress], decodes: Sequence[str]) -> Starlette:
    """The ASGI app of a router over these replicas."""
    router = Router(prefills, decodes)
    informing = ("/v1/models", "/server_info", "/get_server_info", "/metrics")
    return Starlette(
        routes=[
            *(Route(path, router.generate, methods=["POST"]) for path in GENERATING),
            *(Route(path, router.to_decode) for path in informing),
            *(Route(path, router.health) for path in ("/health", "/ready")),
            Route("/abort_request", router.abort, methods=["POST"]),
        ],
        lifespan=router.live,
    )
