"""The one seam to the network."""

from collections.abc import AsyncIterable, Callable
from typing import Protocol

from retry_proxy.headers import Headers
from retry_proxy.stream.exchange import Take


class UpstreamResponse(Protocol):
    """An answer whose head has arrived."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Headers: ...

    async def feed(
        self,
        take: Take,
        first_timeout_seconds: float | None,
        stall_timeout_seconds: float | None,
    ) -> bool:
        """Calls ``take`` for every arrival of the body, to its end (true) or until it says no.

        Raises:
            StreamCut: the connection broke.
            StreamStalled: no first byte in time, or no byte for ``stall_timeout_seconds`` later.
        """
        ...

    async def wait_for_bytes(
        self, is_enough: Callable[[bytes], bool], timeout_seconds: float | None
    ) -> None:
        """Returns once what waits to be taken is enough, or all is there. Raises as ``feed``."""
        ...

    def pause(self) -> None:
        """Stops reading for a while; silence is no stall meanwhile."""
        ...

    def resume(self) -> None:
        """Goes on reading."""
        ...

    async def next(self, timeout_seconds: float | None) -> bytes:
        """What has arrived since, empty at the end. Raises as ``feed``."""
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
        headers: Headers,
        body: bytes | AsyncIterable[bytes] | None,
        timeout_seconds: float | None,
        sent: Callable[[], None] | None = None,
    ) -> UpstreamResponse:
        """Sends a request and waits for the head of the answer.

        Args:
            sent: called once it is on its way (again, if it goes out once more): what can be done
                while the engine works.

        Raises:
            ConnectFailed: no connection; nothing was sent.
            StreamCut: the connection broke afterwards.
            StreamStalled: no head within ``timeout_seconds``.
        """
        ...

    async def close(self) -> None: ...
