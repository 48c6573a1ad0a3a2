"""Addresses that people give to commands, and which of them are this machine. Pure."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from monitor.errors import InvalidOptions


def check_address(address: str) -> None:
    """Looks at an address of something that speaks HTTP.

    Raises:
        InvalidOptions: it is none.
    """
    try:
        parts = urlsplit(address)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, half an IPv6 address
        is_good = False
    if not is_good:
        raise InvalidOptions(f"{address}: not an address such as http://127.0.0.1:30000")


def is_loopback(host: str) -> bool:
    """The host names this machine; no resolver is asked."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
