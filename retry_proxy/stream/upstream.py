"""The one seam to the network. Foreign errors are renamed here."""

import asyncio
import ssl
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Protocol

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from retry_proxy.errors import ConnectFailed, StreamCut, StreamStalled

Headers = list[tuple[str, str]]

_KEEP_ALIVE_SECONDS = 4.0  # below the 5 s after which uvicorn closes an idle connection
_READ_TIMEOUT_SECONDS = 30.0  # for small bodies read as a whole


class UpstreamResponse(Protocol):
    """An answer whose head has arrived."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Headers: ...

    def chunks(
        self, first_timeout_seconds: float | None, stall_timeout_seconds: float | None
    ) -> AsyncIterator[bytes]:
        """The body as it comes.

        Raises:
            StreamCut: the connection broke.
            StreamStalled: no first byte in time, or no byte for ``stall_timeout_seconds`` later.
        """
        ...

    async def read(self, limit_bytes: int) -> bytes:
        """The body up to a limit."""
        ...

    def close(self) -> None:
        """Closes the connection at once, unless the body was read to its end."""
        ...


class Upstream(Protocol):
    """Opens requests to replicas."""

    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | Headers,
        body: bytes | AsyncIterable[bytes] | None,
        timeout_seconds: float | None,
    ) -> UpstreamResponse:
        """Sends a request and waits for the head of the answer.

        Raises:
            ConnectFailed: no connection; nothing was sent.
            StreamCut: the connection broke afterwards.
            StreamStalled: no head within ``timeout_seconds``.
        """
        ...

    async def close(self) -> None: ...


class AiohttpUpstream:
    """Connections of one process to all replicas.

    Args:
        resolver: of names; by default the system's.
        tls: certificates to trust; by default the system's.
    """

    def __init__(
        self,
        connect_timeout_seconds: float,
        *,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._resolver = resolver
        self._tls = tls
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_seconds)
        self._session: aiohttp.ClientSession | None = None

    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | Headers,
        body: bytes | AsyncIterable[bytes] | None,
        timeout_seconds: float | None,
    ) -> UpstreamResponse:
        try:
            async with asyncio.timeout(timeout_seconds):
                response = await self._use_session().request(
                    method,
                    URL(url, encoded=True),
                    headers=headers,
                    data=body,
                    allow_redirects=False,
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ConnectFailed(f"cannot connect: {error}") from error
        except TimeoutError as error:
            raise StreamStalled(f"no answer within {timeout_seconds} s") from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise StreamCut(f"the connection broke: {type(error).__name__}") from error
        return _AiohttpResponse(response)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _use_session(self) -> aiohttp.ClientSession:
        # Made on first use: aiohttp binds a session to the running loop.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0,
                    keepalive_timeout=_KEEP_ALIVE_SECONDS,
                    resolver=self._resolver,
                    ssl=True if self._tls is None else self._tls,
                ),
                timeout=self._timeout,
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=2**18,
            )
        return self._session


class _AiohttpResponse:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status

    @property
    def headers(self) -> Headers:
        return list(self._response.headers.items())

    async def chunks(
        self, first_timeout_seconds: float | None, stall_timeout_seconds: float | None
    ) -> AsyncIterator[bytes]:
        content = self._response.content
        limit = first_timeout_seconds
        while True:
            try:
                async with asyncio.timeout(limit):
                    data = await content.readany()
            except TimeoutError as error:
                raise StreamStalled(f"no byte for {limit} s") from error
            except (aiohttp.ClientError, ConnectionError) as error:
                raise StreamCut(f"the stream broke: {type(error).__name__}") from error
            if not data:
                return
            yield data
            limit = stall_timeout_seconds

    async def read(self, limit_bytes: int) -> bytes:
        parts = bytearray()
        async for data in self.chunks(_READ_TIMEOUT_SECONDS, _READ_TIMEOUT_SECONDS):
            parts += data
            if len(parts) >= limit_bytes:
                break
        return bytes(parts[:limit_bytes])

    def close(self) -> None:
        self._response.close()
