"""Resolves replicas' names and lets through only where a connection may go."""

import errno
import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from retry_proxy.addresses import AddressRules


class CheckedResolver(AbstractResolver):
    """Asked at every new connection, so a name that moves to a metadata address is caught."""

    def __init__(self, rules: AddressRules, inner: AbstractResolver | None = None) -> None:
        self._rules = rules
        self._inner = inner

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if self._inner is None:  # bound to the running loop
            self._inner = ThreadedResolver()
        found = await self._inner.resolve(host, port, family)
        allowed = [one for one in found if self._rules.is_allowed_ip(one["host"], host)]
        if not allowed:
            raise OSError(errno.EACCES, f"{host} resolves to no address that is allowed")
        return allowed

    async def close(self) -> None:
        if self._inner is not None:
            await self._inner.close()
