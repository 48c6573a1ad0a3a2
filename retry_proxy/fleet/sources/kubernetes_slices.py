"""The EndpointSlices of one service as last told: a list, then events of a watch. No I/O."""

import msgspec

from retry_proxy.fleet.sources.source import SourceUnavailable

_GONE = 410


class Conditions(msgspec.Struct):
    """Of an endpoint."""

    ready: bool | None = None
    terminating: bool | None = None


class Endpoint(msgspec.Struct):
    """One pod."""

    addresses: list[str] = []
    conditions: Conditions | None = None


class Port(msgspec.Struct):
    """One that every endpoint of a slice listens on."""

    name: str | None = None
    port: int | None = None


class Metadata(msgspec.Struct, rename={"following": "continue", "version": "resourceVersion"}):
    """Of a list, or of one object."""

    name: str = ""
    version: str = ""
    following: str = ""


class Slice(msgspec.Struct):
    """As much of an EndpointSlice as is needed, under the API's names."""

    addressType: str = ""  # noqa: N815 (the API's name)
    endpoints: list[Endpoint] | None = None
    ports: list[Port] | None = None
    metadata: Metadata | None = None


class Page(msgspec.Struct):
    """A part of the list of EndpointSlices."""

    items: list[Slice] | None = None
    metadata: Metadata | None = None


class _Event(msgspec.Struct):
    """One line of a watch."""

    type: str
    object: msgspec.Raw


class _Status(msgspec.Struct):
    """What an ERROR event carries."""

    code: int | None = None
    message: str | None = None


class WatchExpired(SourceUnavailable):
    """The watch begins too far back: only a new list helps."""


class Slices:
    """All slices by name, and the version up to which they are known.

    Args:
        items: of a whole list.
        version: the list's.
    """

    def __init__(self, items: list[Slice], version: str) -> None:
        self._by_name = {_name(one, str(number)): one for number, one in enumerate(items)}
        self.version = version

    @property
    def items(self) -> list[Slice]:
        """As known now."""
        return list(self._by_name.values())

    def apply(self, line: bytes) -> bool:
        """Takes one event; whether a slice changed.

        Raises:
            WatchExpired: the server has forgotten what comes after ``version``.
            SourceUnavailable: another error, or no event.
        """
        try:
            event = msgspec.json.decode(line, type=_Event)
            if event.type == "ERROR":
                status = msgspec.json.decode(event.object, type=_Status)
                kind = WatchExpired if status.code == _GONE else SourceUnavailable
                raise kind(f"Kubernetes ended the watch: {status.code} {status.message}")
            found = msgspec.json.decode(event.object, type=Slice)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise SourceUnavailable(f"Kubernetes' event is not as agreed: {error}") from error
        if found.metadata is not None and found.metadata.version:
            self.version = found.metadata.version
        if event.type in ("ADDED", "MODIFIED"):
            self._by_name[_name(found, "")] = found
        elif event.type == "DELETED":
            self._by_name.pop(_name(found, ""), None)
        return event.type in ("ADDED", "MODIFIED", "DELETED")


def _name(one: Slice, otherwise: str) -> str:
    return (one.metadata.name if one.metadata is not None else "") or otherwise
