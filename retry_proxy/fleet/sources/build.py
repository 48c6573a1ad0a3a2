"""The sources that a configuration names."""

import ssl
from pathlib import Path

from retry_proxy.config import ProxyConfig
from retry_proxy.errors import InvalidConfig
from retry_proxy.fleet.sources.dns import DnsSource
from retry_proxy.fleet.sources.file import FileSource
from retry_proxy.fleet.sources.kubernetes import ACCOUNT, KubernetesSource, Service, api_address
from retry_proxy.fleet.sources.source import ReplicaSource
from retry_proxy.stream.sockets import SocketUpstream


def build_sources(config: ProxyConfig) -> list[ReplicaSource]:
    """One for each that is named.

    Raises:
        InvalidConfig: a name makes no sense, or this is no pod of a cluster.
    """
    sources: list[ReplicaSource] = []
    if config.replicas_file is not None:
        sources.append(FileSource(Path(config.replicas_file)))
    if config.replicas_dns is not None:
        sources.append(DnsSource(config.replicas_dns))
    if config.replicas_kubernetes is not None:
        service = Service.parse(config.replicas_kubernetes)
        api = api_address()
        upstream = SocketUpstream(config.connect_timeout_seconds, tls=_cluster_certificates())
        sources.append(KubernetesSource(service, upstream, api))
    return sources


def _cluster_certificates() -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    except (OSError, ssl.SSLError) as error:
        raise InvalidConfig(f"replicas_kubernetes: no certificates: {error}") from error
