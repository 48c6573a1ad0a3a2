"""Replicas from the EndpointSlices of a Kubernetes service (API discovery.k8s.io/v1)."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
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
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return tuple(sorted(found))
            url = f"{self._url}&continue={quote(str(following), safe='')}"
        raise SourceUnavailable("the list of endpoint slices does not end")

    async def close(self) -> None:
        await self._upstream.close()

    async def _fetch(self, url: str) -> dict[str, Any]:
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
            page = msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise SourceUnavailable("Kubernetes' answer is not JSON") from error
        if not isinstance(page, dict):
            raise SourceUnavailable("Kubernetes' answer is no list of endpoint slices")
        return page


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


def ready_addresses(page: Mapping[str, Any], port: str | None) -> Iterator[str]:
    """Addresses of the ready endpoints in a page of EndpointSlices.

    An endpoint without conditions is ready; one that terminates is not.
    """
    for piece in page.get("items") or ():
        number = _port_of(piece, port)
        if number is None or piece.get("addressType") not in ("IPv4", "IPv6"):
            continue
        for endpoint in piece.get("endpoints") or ():
            conditions = endpoint.get("conditions") or {}
            if conditions.get("ready") is not False and not conditions.get("terminating"):
                # More than one are the same pod (the API guarantees it).
                for ip in (endpoint.get("addresses") or ())[:1]:
                    yield base_address(ip, number)


def _port_of(piece: Mapping[str, Any], wanted: str | None) -> int | None:
    ports = [one for one in piece.get("ports") or () if isinstance(one.get("port"), int)]
    if wanted is None:
        return ports[0]["port"] if len(ports) == 1 else None
    return next(
        (one["port"] for one in ports if wanted in (one.get("name"), str(one["port"]))), None
    )
