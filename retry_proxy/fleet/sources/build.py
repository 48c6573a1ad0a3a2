"""The sources that a configuration names."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from retry_proxy.config import ProxyConfig
from retry_proxy.errors import InvalidConfig
from retry_proxy.fleet.sources.dns import DnsSource
from retry_proxy.fleet.sources.file import FileSource
from retry_proxy.fleet.sources.kubernetes import ACCOUNT, KubernetesSource, Service, api_address
from retry_proxy.fleet.sources.source import ReplicaSource
from retry_proxy.stream.sockets import SocketUpstream


def build_sources(
    config: ProxyConfig,
    account: Path = ACCOUNT,
    environment: Mapping[str, str] = os.environ,
) -> list[ReplicaSource]:
    """One for each that is named.

    Args:
        account: where a pod finds its token and the cluster's certificates.
        environment: tells a pod where the API server is.

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
        api = api_address(environment)
        upstream = SocketUpstream(
            config.connect_timeout_seconds, tls=_cluster_certificates(account)
        )
        sources.append(KubernetesSource(service, upstream, api, account / "token"))
    return sources


def _cluster_certificates(account: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(account / "ca.crt"))
    except (OSError, ssl.SSLError) as error:
        raise InvalidConfig(f"replicas_kubernetes: no certificates: {error}") from error
