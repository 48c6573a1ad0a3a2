"""Replicas from the EndpointSlices of a Kubernetes service (API discovery.k8s.io/v1)."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec

from retry_proxy.errors import InvalidConfig, UpstreamError
from retry_proxy.fleet.sources.dns import base_address
from retry_proxy.fleet.sources.source import SourceUnavailable
from retry_proxy.stream.upstream import Upstream

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 16 * 1024 * 1024
_MAX_PAGES = 100


@dataclass(frozen=True, slots=True)
class Service:
    """A service, and the port of it that the replicas listen on.

    Attributes:
        port: its name or number, ``None`` where the service has only one.
    """

    namespace: str
    name: str
    port: str | None

    @classmethod
    def parse(cls, text: str) -> "Service":
        """From ``namespace/name`` or ``namespace/name:port``.

        Raises:
            InvalidConfig: it is neither.
        """
        namespace, _, rest = text.partition("/")
        name, _, port = rest.partition(":")
        if not all(part.replace("-", "").replace(".", "").isalnum() for part in (namespace, name)):
            raise InvalidConfig(f"replicas_kubernetes must be namespace/service:port, got {text!r}")
        return cls(namespace, name, port or None)


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


class Slice(msgspec.Struct):
    """As much of an EndpointSlice as is needed, under the API's names."""

    addressType: str = ""  # noqa: N815 (the API's name)
    endpoints: list[Endpoint] | None = None
    ports: list[Port] | None = None


class Metadata(msgspec.Struct, rename={"following": "continue"}):
    """Of a list."""

    following: str = ""


class Page(msgspec.Struct):
    """A part of the list of EndpointSlices."""

    items: list[Slice] | None = None
    metadata: Metadata | None = None


class KubernetesSource:
    """Asks the API server with the pod's own service account.

    Args:
        upstream: to the API server; it knows the cluster's certificates.
        token_path: read each time: the token is renewed within the hour.
    """

    name = "kubernetes"

    def __init__(
        self, service: Service, upstream: Upstream, api: str, token_path: Path = ACCOUNT / "token"
    ) -> None:
        self._service = service
        self._upstream = upstream
        self._token_path = token_path
        self._url = (
            f"{api}/apis/discovery.k8s.io/v1/namespaces/{quote(service.namespace)}/endpointslices"
            f"?labelSelector=kubernetes.io%2Fservice-name%3D{quote(service.name)}&limit=500"
        )

    async def addresses(self) -> tuple[str, ...]:
        found: set[str] = set()
        url = self._url
        for _ in range(_MAX_PAGES):
            page = await self._fetch(url)
            found.update(ready_addresses(page, self._service.port))
            if page.metadata is None or not page.metadata.following:
                return tuple(sorted(found))
            url = f"{self._url}&continue={quote(page.metadata.following, safe='')}"
        raise SourceUnavailable("the list of endpoint slices does not end")

    async def close(self) -> None:
        await self._upstream.close()

    async def _fetch(self, url: str) -> Page:
        try:
            token = self._token_path.read_text(encoding="ascii").strip()
            response = await self._upstream.open(
                "GET",
                url,
                headers=[("authorization", f"Bearer {token}"), ("accept", "application/json")],
                body=None,
                timeout_seconds=_TIMEOUT_SECONDS,
            )
            try:
                body = await response.read(_MAX_BYTES)
            finally:
                response.close()
        except (OSError, UnicodeDecodeError, UpstreamError) as error:
            raise SourceUnavailable(f"Kubernetes cannot be asked: {error}") from error
        if response.status != 200:
            raise SourceUnavailable(f"Kubernetes answered with status {response.status}")
        try:
            return msgspec.json.decode(body, type=Page)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise SourceUnavailable(f"Kubernetes' answer is not as agreed: {error}") from error


def api_address(environment: Mapping[str, str] = os.environ) -> str:
    """Where the API server is, as every pod is told.

    Raises:
        InvalidConfig: this is no pod.
    """
    host = environment.get("KUBERNETES_SERVICE_HOST")
    port = environment.get("KUBERNETES_SERVICE_PORT", "443")
    if not host:
        raise InvalidConfig("replicas_kubernetes: this process does not run in a cluster")
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def ready_addresses(page: Page, port: str | None) -> Iterator[str]:
    """Addresses of the ready endpoints in a page of EndpointSlices.

    An endpoint without conditions is ready; one that terminates is not.
    """
    for piece in page.items or ():
        number = _port_of(piece, port)
        if number is None or piece.addressType not in ("IPv4", "IPv6"):
            continue
        for endpoint in piece.endpoints or ():
            conditions = endpoint.conditions or Conditions()
            if conditions.ready is not False and not conditions.terminating:
                # More than one are the same pod (the API guarantees it).
                for ip in endpoint.addresses[:1]:
                    yield base_address(ip, number)


def _port_of(piece: Slice, wanted: str | None) -> int | None:
    ports = [(one.name, one.port) for one in piece.ports or () if one.port is not None]
    if wanted is None:
        return ports[0][1] if len(ports) == 1 else None
    return next((port for name, port in ports if wanted in (name, str(port))), None)
