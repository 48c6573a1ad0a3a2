"""Replicas from the EndpointSlices of a Kubernetes service (API discovery.k8s.io/v1)."""

import asyncio
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import msgspec

from retry_proxy.errors import InvalidConfig, UpstreamError
from retry_proxy.fleet.sources.dns import base_address
from retry_proxy.fleet.sources.kubernetes_slices import (
    Conditions,
    Metadata,
    Page,
    Slice,
    Slices,
    WatchExpired,
)
from retry_proxy.fleet.sources.source import SourceUnavailable
from retry_proxy.stream.upstream import Upstream, UpstreamResponse

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 16 * 1024 * 1024
_MAX_PAGES = 100
_WATCH_SECONDS = 60  # then it is asked for anew: a connection that died silently costs no longer


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
    """Asks the API server with the pod's own service account: a list, then a watch from there on.

    A watch that the server ends goes on where it was; after any failure there is a new list.
    Where the account may not watch, the list is read again and again.

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
            f"?labelSelector=kubernetes.io%2Fservice-name%3D{quote(service.name)}"
        )
        self._slices: Slices | None = None  # none: a new list is needed
        self._watch: UpstreamResponse | None = None
        self._rest = b""  # of the watch, a line that is not complete
        self._may_watch = True

    async def addresses(self) -> tuple[str, ...]:
        if self._slices is None or not self._slices.version:
            self._slices = await self._list()
        found = ready_addresses(Page(self._slices.items), self._service.port)
        return tuple(sorted(set(found)))

    async def news(self, interval_seconds: float) -> None:
        slices = self._slices
        if slices is None or not self._may_watch or not slices.version:
            self._slices = None
            await asyncio.sleep(interval_seconds)
            return
        version = slices.version
        try:
            while not await self._follow(slices):
                pass
        except SourceUnavailable as error:
            self._end_watch()
            self._slices = None
            # An API server in trouble is not asked without a pause.
            if not isinstance(error, WatchExpired) or slices.version == version:
                await asyncio.sleep(interval_seconds)

    async def close(self) -> None:
        self._end_watch()
        await self._upstream.close()

    async def _list(self) -> Slices:
        items: list[Slice] = []
        url = f"{self._url}&limit=500"
        for _ in range(_MAX_PAGES):
            page = await self._fetch(url)
            items += page.items or ()
            metadata = page.metadata or Metadata()
            if not metadata.following:
                return Slices(items, metadata.version)
            url = f"{self._url}&limit=500&continue={quote(metadata.following, safe='')}"
        raise SourceUnavailable("the list of endpoint slices does not end")

    async def _follow(self, slices: Slices) -> bool:
        """Reads on in the watch, opened on demand; whether a slice changed.

        Raises:
            SourceUnavailable: a new list is needed.
        """
        if self._watch is None:
            self._watch = await self._open_watch(slices.version)
        try:
            data = await self._watch.next(_WATCH_SECONDS + _TIMEOUT_SECONDS)
        except UpstreamError as error:
            raise SourceUnavailable(f"the watch broke: {error}") from error
        if not data:  # its time is over
            self._end_watch()
            return False
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _MAX_BYTES:
            raise SourceUnavailable("an event of the watch is too large")
        changes = [slices.apply(line) for line in lines if line.strip()]
        return any(changes)

    async def _open_watch(self, version: str) -> UpstreamResponse:
        options = f"allowWatchBookmarks=true&timeoutSeconds={_WATCH_SECONDS}"
        url = f"{self._url}&watch=true&{options}&resourceVersion={quote(version, safe='')}"
        response = await self._open(url)
        if response.status == 200:
            return response
        response.close()
        if response.status == 410:
            raise WatchExpired("Kubernetes no longer knows this version")
        self._may_watch = response.status not in (403, 405)
        raise SourceUnavailable(f"Kubernetes answered a watch with status {response.status}")

    def _end_watch(self) -> None:
        if self._watch is not None:
            self._watch.close()
        self._watch, self._rest = None, b""

    async def _open(self, url: str) -> UpstreamResponse:
        try:
            token = (await asyncio.to_thread(self._token_path.read_text, "ascii")).strip()
            return await self._upstream.open(
                "GET",
                url,
                headers=[("authorization", f"Bearer {token}"), ("accept", "application/json")],
                body=None,
                timeout_seconds=_TIMEOUT_SECONDS,
            )
        except (OSError, UnicodeDecodeError, UpstreamError) as error:
            raise SourceUnavailable(f"Kubernetes cannot be asked: {error}") from error

    async def _fetch(self, url: str) -> Page:
        response = await self._open(url)
        try:
            body = await response.read(_MAX_BYTES)
        except UpstreamError as error:
            raise SourceUnavailable(f"Kubernetes cannot be asked: {error}") from error
        finally:
            response.close()
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
