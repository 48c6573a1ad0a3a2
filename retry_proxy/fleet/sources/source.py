"""What a list of replicas is read through."""

from collections.abc import Collection
from typing import Protocol

from retry_proxy.errors import ProxyError


class SourceUnavailable(ProxyError):
    """The list cannot be had now; the last one stays."""


class ReplicaSource(Protocol):
    """One list of replicas that may change."""

    @property
    def name(self) -> str:
        """Of the kind: members are only taken out by the source that brought them."""
        ...

    async def addresses(self) -> Collection[str]:
        """The list as it is now; not checked yet.

        Raises:
            SourceUnavailable: it cannot be read, or makes no sense.
        """
        ...

    async def news(self, interval_seconds: float) -> None:
        """Returns when the list should be read again.

        Args:
            interval_seconds: after which it is, where the source tells nothing by itself.
        """
        ...

    async def close(self) -> None:
        """Gives back what it holds."""
        ...
