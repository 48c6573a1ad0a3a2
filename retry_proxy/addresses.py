"""Which addresses may become replicas. Pure.

Who can register an address makes the proxy send requests there, with its clients' credentials: the
metadata service of a cloud would answer with those of the machine (FastChat #3776).
"""

import socket
from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

from retry_proxy.errors import InvalidConfig, RefusedAddress

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NEVER: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this host": Linux connects it to itself
        "169.254.0.0/16",  # link-local, the metadata services of most clouds
        "100.100.100.200/32",  # Alibaba's metadata service
        "192.0.0.192/32",  # Oracle's metadata service
        "168.63.129.16/32",  # Azure's host
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "fe80::/10",
        "fd00:ec2::254/128",  # AWS's metadata service
        "fd20:ce::254/128",  # Google's
        "ff00::/8",
    )
)
_NEVER_NAMES = ("metadata", "metadata.google.internal", "instance-data")
_NAT64 = ip_network("64:ff9b::/96")


class AddressRules:
    """What an operator allows, on top of what is never allowed.

    Args:
        allowed: host names, ``*.suffix`` for all below one, IP addresses and networks; empty allows
            everything else.

    Raises:
        InvalidConfig: an entry is none of these.
    """

    def __init__(self, allowed: Iterable[str] = ()) -> None:
        self._networks: list[Network] = []
        self._names: list[str] = []
        for entry in allowed:
            self._allow(entry)

    def check(self, address: str) -> str:
        """The address as replicas are known by it.

        Raises:
            RefusedAddress: it must not be a replica; the message says why.
        """
        try:
            parts = urlsplit(address)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise RefusedAddress(f"{address!r} is no address: {error}") from error
        if parts.scheme not in ("http", "https") or not host:
            raise RefusedAddress(f"{address!r} must be http://host:port or https://host:port")
        if parts.username is not None or parts.password is not None:
            raise RefusedAddress("credentials do not belong into an address")
        if parts.query or parts.fragment or _has_odd_character(address):
            raise RefusedAddress(f"{address!r} must be a plain base address")
        self._check_host(host.rstrip(".").lower())
        return address.rstrip("/")

    def is_allowed_ip(self, text: str, host: str) -> bool:
        """Whether a connection may go there: asked for what ``host`` resolves to, each time.

        A name that was checked once may point elsewhere later.
        """
        found = ip_address(text.partition("%")[0])
        if _is_never(found):
            return False
        return self._is_open or self._is_allowed_name(host) or self._is_in_network(found)

    @property
    def _is_open(self) -> bool:
        return not self._networks and not self._names

    def _allow(self, entry: str) -> None:
        try:
            self._networks.append(ip_network(entry, strict=False))
        except ValueError:
            if not entry or _has_odd_character(entry) or "/" in entry or ":" in entry:
                raise InvalidConfig(
                    f"allow_addresses: {entry!r} is no host, *.suffix, IP address or network"
                ) from None
            self._names.append(entry.lower())

    def _check_host(self, host: str) -> None:
        literal = _literal(host)
        if literal is None:
            if host in _NEVER_NAMES:
                raise RefusedAddress(f"{host} is a metadata service")
            # A name outside the list may still resolve into an allowed network.
            if not self._is_open and not self._networks and not self._is_allowed_name(host):
                raise RefusedAddress(f"{host} is not among the allowed addresses")
            return
        if _is_never(literal):
            raise RefusedAddress(f"{host} is a link-local, metadata or unspecified address")
        if not self._is_open and not self._is_in_network(literal):
            raise RefusedAddress(f"{host} is not among the allowed addresses")

    def _is_allowed_name(self, host: str) -> bool:
        return any(
            host == name or (name.startswith("*.") and host.endswith(name[1:]))
            for name in self._names
        )

    def _is_in_network(self, found: Address) -> bool:
        return any(found in network for network in self._networks)


def _literal(host: str) -> Address | None:
    """The IP address that a host is, ``None`` if it is a name.

    Raises:
        RefusedAddress: one of the spellings that only the C library reads (``0xa9fea9fe``,
            ``2852039166``, ``169.254.43518``): nobody writes them in good faith.
    """
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        socket.inet_aton(host)
    except (OSError, UnicodeEncodeError):
        return None
    raise RefusedAddress(f"{host} is an odd spelling of an IP address")


def _is_never(found: Address) -> bool:
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found in _NAT64:
            inner = IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return _is_never(inner)
    return any(found in network for network in _NEVER)


def _has_odd_character(text: str) -> bool:
    return any(character <= " " or character in "\\@" or ord(character) > 126 for character in text)
