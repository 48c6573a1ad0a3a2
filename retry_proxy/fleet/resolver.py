"""Resolves replicas' names and lets through only where a connection may go."""

import asyncio
import contextlib
import errno
import ipaddress
import socket

from retry_proxy.addresses import AddressRules
from retry_proxy.stream.sockets import Resolve

_MOST_LITERALS = 4096


class CheckedResolver:
    """Asked at every new connection, so a name that moves to a metadata address is caught."""

    def __init__(self, rules: AddressRules, resolve: Resolve | None = None) -> None:
        self._rules = rules
        self._resolve = resolve or system_addresses
        self._literals: dict[str, list[str]] = {}  # hosts that are allowed addresses themselves

    async def __call__(self, host: str, port: int) -> list[str]:
        """The host's addresses that are allowed.

        Raises:
            OSError: it has none.
        """
        if (known := self._literals.get(host)) is not None:
            return known
        found = await self._resolve(host, port)
        allowed = [ip for ip in found if self._rules.is_allowed_ip(ip, host)]
        if not allowed:
            raise OSError(errno.EACCES, f"{host} resolves to no address that is allowed")
        if allowed == [host] and len(self._literals) < _MOST_LITERALS:
            self._literals[host] = allowed
        return allowed


async def system_addresses(host: str, port: int) -> list[str]:
    """What the system's resolver says. An address is its own: asking takes a thread's time."""
    with contextlib.suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
