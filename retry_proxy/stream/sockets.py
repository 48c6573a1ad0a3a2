"""All connections of one process to its replicas. Foreign errors are renamed here.

Own protocol classes instead of a client library: a library wakes a task for every chunk of a
stream, which costs more than all that the proxy does with it.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable
from functools import lru_cache
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from retry_proxy.errors import ConnectFailed, StreamCut, StreamStalled
from retry_proxy.headers import Headers
from retry_proxy.stream.connection import Connection
from retry_proxy.stream.exchange import Exchange

_KEEP_ALIVE_SECONDS = 4.0  # below the 5 s after which uvicorn closes an idle connection
_DEFAULT_PORTS = {"http": 80, "https": 443}

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""IP addresses of a host, in the order they are tried."""


class Origin(NamedTuple):
    """Where a connection goes."""

    scheme: str
    host: str
    port: int


class _Request(NamedTuple):
    start: bytes  # its head, and its body where that is known whole
    pieces: AsyncIterable[bytes] | None
    is_chunked: bool
    has_answer_body: bool
    sent: Callable[[], None] | None


class SocketUpstream:
    """Opens requests over kept-alive connections.

    Args:
        resolve: names to addresses; by default the system's resolver.
        tls: what https trusts; by default the system's certificates.
    """

    def __init__(
        self,
        connect_timeout_seconds: float,
        *,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._connect_timeout_seconds = connect_timeout_seconds
        self._resolve = resolve
        self._tls = tls
        self._idle: dict[Origin, deque[Connection]] = {}
        self._open: set[Connection] = set()

    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Headers,
        body: bytes | AsyncIterable[bytes] | None,
        timeout_seconds: float | None,
        sent: Callable[[], None] | None = None,
    ) -> Exchange:
        """See ``Upstream``."""
        origin, host, target = split_url(url)
        whole = body if isinstance(body, bytes) else None
        pieces = None if body is None or isinstance(body, bytes) else body
        is_chunked = pieces is not None and not has_length(headers)
        length = None if whole is None else len(whole)
        head = request_head(method, target, host, headers, length, is_chunked=is_chunked)
        start = head + (whole or b"")
        request = _Request(start, pieces, is_chunked, method != "HEAD", sent)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await self._exchange(origin, request)
        except TimeoutError as error:
            raise StreamStalled(f"no answer within {timeout_seconds} s") from error

    async def close(self) -> None:
        """Closes every connection."""
        for connection in list(self._open):
            connection.abort()
        self._open.clear()
        self._idle.clear()
        await asyncio.sleep(0)  # the transports tell their protocols in the next round

    async def _exchange(self, origin: Origin, request: "_Request") -> Exchange:
        while True:
            idle = self._reuse(origin)
            connection = idle or await self._connect(origin)
            exchange = connection.start(request.start, has_answer_body=request.has_answer_body)
            try:
                if request.pieces is not None:
                    await _send_pieces(connection, request.pieces, is_chunked=request.is_chunked)
                if request.sent is not None:
                    request.sent()
                await exchange.head
            except StreamCut:
                # It was closed while idle, before this request reached it.
                if idle is not None and not exchange.has_bytes and request.pieces is None:
                    continue
                raise
            except BaseException:
                exchange.close()
                raise
            return exchange

    def _reuse(self, origin: Origin) -> Connection | None:
        idle = self._idle.get(origin)
        now = asyncio.get_running_loop().time()
        while idle:
            connection = idle.pop()  # the one used last lives longest
            if connection.is_usable and now - connection.idle_since < _KEEP_ALIVE_SECONDS:
                return connection
            connection.abort()
        return None

    async def _connect(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()

        def make() -> Connection:
            return Connection(loop, lambda one: self._keep(origin, one), self._open)

        tls: ssl.SSLContext | bool | None = None
        if origin.scheme == "https":
            tls = True if self._tls is None else self._tls
        try:
            async with asyncio.timeout(self._connect_timeout_seconds):
                addresses = [origin.host]
                if self._resolve is not None:
                    addresses = await self._resolve(origin.host, origin.port)
                return await _connect_to_any(loop, make, addresses, origin, tls)
        except TimeoutError as error:
            limit = self._connect_timeout_seconds
            raise ConnectFailed(f"cannot connect: no answer within {limit:g} s") from error
        except OSError as error:
            raise ConnectFailed(f"cannot connect: {error.strerror or error}") from error

    def _keep(self, origin: Origin, connection: Connection) -> None:
        idle = self._idle.setdefault(origin, deque())
        now = asyncio.get_running_loop().time()
        while idle and now - idle[0].idle_since >= _KEEP_ALIVE_SECONDS:
            idle.popleft().abort()
        idle.append(connection)


async def _connect_to_any(
    loop: asyncio.AbstractEventLoop,
    make: Callable[[], Any],  # connections are protocols by their shape
    addresses: list[str],
    origin: Origin,
    tls: ssl.SSLContext | bool | None,
) -> Connection:
    """The first address that takes the connection."""
    error: OSError = OSError(f"{origin.host} has no address")
    for address in addresses:
        try:
            _, connection = await loop.create_connection(
                make,
                address,
                origin.port,
                ssl=tls,
                server_hostname=origin.host if tls is not None else None,
            )
        except OSError as failed:
            error = failed
        else:
            return cast("Connection", connection)
    raise error


async def _send_pieces(
    connection: Connection, pieces: AsyncIterable[bytes], *, is_chunked: bool
) -> None:
    async for piece in pieces:
        if piece:
            frame = b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece
            await connection.write(frame)
    if is_chunked:
        await connection.write(b"0\r\n\r\n")


def split_url(url: str) -> tuple[Origin, str, str]:
    """Where it goes, the request target, and the host header.

    Everything after the authority goes out as it is.
    """
    scheme, _, rest = url.partition("://")
    authority, slash, target = rest.partition("/")
    return *_origin(scheme, authority), f"{slash or '/'}{target}"


@lru_cache(maxsize=1024)
def _origin(scheme: str, authority: str) -> tuple[Origin, str]:
    parts = urlsplit(f"{scheme}://{authority}")
    host = parts.hostname or ""
    port = parts.port or _DEFAULT_PORTS[scheme]
    name = f"[{host}]" if ":" in host else host
    return Origin(scheme, host, port), name if port == _DEFAULT_PORTS[scheme] else f"{name}:{port}"


def has_length(headers: Headers) -> bool:
    """The length of a body in pieces is told."""
    return any(name.lower() == "content-length" for name, _ in headers)


def request_head(
    method: str, target: str, host: str, headers: Headers, length: int | None, *, is_chunked: bool
) -> bytes:
    """Head of a request.

    Raises:
        ValueError: a line end in a header, which would begin another one.
    """
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers]
    if is_chunked:
        lines.append("Transfer-Encoding: chunked")
    elif length is not None:
        lines.append(f"Content-Length: {length}")
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a header has a line end within it")
    return head.encode("utf-8", "surrogateescape") + b"\r\n\r\n"
