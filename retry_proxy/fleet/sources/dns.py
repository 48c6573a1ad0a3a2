"""Replicas from a DNS name: one for each of its addresses (a headless service, round robin)."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from retry_proxy.errors import InvalidConfig
from retry_proxy.fleet.sources.source import SourceUnavailable

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The IP addresses of a host; raises ``OSError``."""


class DnsSource:
    """Asks for the name's addresses each time.

    Args:
        base: ``http://name:port``. Not https: a certificate is for the name, not its addresses.

    Raises:
        InvalidConfig: it is no such address.
    """

    name = "dns"

    def __init__(self, base: str, resolve: Resolve | None = None) -> None:
        parts = urlsplit(base)
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
            raise InvalidConfig(f"replicas_dns must be http://name:port, got {base!r}")
        self._host = parts.hostname
        self._port = parts.port or 80
        self._resolve = resolve or resolve_by_system

    async def addresses(self) -> tuple[str, ...]:
        try:
            found = await self._resolve(self._host, self._port)
        except OSError as error:
            raise SourceUnavailable(f"cannot resolve {self._host}: {error}") from error
        return tuple(sorted({base_address(one, self._port) for one in found}))

    async def news(self, interval_seconds: float) -> None:
        await asyncio.sleep(interval_seconds)

    async def close(self) -> None:
        """Holds nothing."""


def base_address(ip: str, port: int) -> str:
    """Of a replica at an IP address of either family."""
    return f"http://[{ip}]:{port}" if ":" in ip else f"http://{ip}:{port}"


async def resolve_by_system(host: str, port: int) -> list[str]:
    """By the system's resolver, in a thread."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
