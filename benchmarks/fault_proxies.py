"""The proxies of the fault matrix, and how each is configured.

Each retries whatever it can, and none may take a replica out: what is measured is the retry.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STALL_SECONDS = 1


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a proxy listens, its replicas' ports, and a folder for its files.

    Attributes:
        metrics_port: for a proxy that insists on one.
    """

    port: int
    metrics_port: int
    replicas: Sequence[int]
    folder: Path


@dataclass(frozen=True, slots=True)
class Proxy:
    """One column of the matrix.

    Attributes:
        program: name on the PATH, or a path.
        command: arguments after the program; writes the configuration it needs.
        version: arguments that print the version.
        configured: what a reader must know, one sentence.
    """

    name: str
    program: str
    command: Callable[[Setting], list[str]]
    version: Sequence[str]
    configured: str

    @property
    def is_installed(self) -> bool:
        return shutil.which(self.program) is not None

    def version_text(self) -> str:
        """The number in what it prints about its version."""
        asked = [self.program, *self.version]
        told = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
        found = re.search(r"\b\d+\.\d+\.\d+", told.stdout + told.stderr)
        return found.group() if found else "of unknown version"


def specwatch(name: str, **options: object) -> Proxy:
    """This repository's proxy, as its own process.

    Args:
        options: of ``specwatch serve``, with underscores, beside those that every column has.
    """
    asked = _arguments(options)

    def command(setting: Setting) -> list[str]:
        replicas = [f"--replica=http://127.0.0.1:{port}" for port in setting.replicas]
        port = f"--port={setting.port}"
        return ["-m", "monitor", "serve", port, *replicas, *asked, *_arguments(_SPECWATCH)]

    return Proxy(
        f"specwatch {name}",
        sys.executable,
        command,
        ["-c", "from monitor.version import VERSION; print(VERSION)"],
        f"`{' '.join(asked)}`, both timeouts {STALL_SECONDS} s, a floor of 1,000 retries a second,"
        " no ejection (`--max-ejected-share=0`); all else is the default",
    )


_SPECWATCH = {
    "first_byte_timeout_seconds": STALL_SECONDS,
    "stall_timeout_seconds": STALL_SECONDS,
    "retry_budget_min_per_second": 1000,
    "max_ejected_share": 0,
    "log_level": "warning",
}


def _arguments(options: Mapping[str, object]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]


def smg(program: str) -> Proxy:
    def command(setting: Setting) -> list[str]:
        urls = [f"http://127.0.0.1:{port}" for port in setting.replicas]
        return [
            *("launch", "--worker-urls", *urls, "--host", "127.0.0.1"),
            *("--port", str(setting.port), "--prometheus-port", str(setting.metrics_port)),
            *("--policy", "round_robin", "--retry-max-retries", "5"),
            *("--disable-circuit-breaker", "--log-level", "warn"),
        ]

    return Proxy(
        "smg",
        program,
        command,
        ["--version"],
        "round robin, 5 retries, no circuit breaker; no option for a silent stream was found",
    )


def envoy(program: str) -> Proxy:
    def command(setting: Setting) -> list[str]:
        path = setting.folder / "envoy.json"
        path.write_text(json.dumps(envoy_config(setting)), encoding="utf-8")
        return ["-c", str(path), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]

    return Proxy(
        "Envoy",
        program,
        command,
        ["--version"],
        "round robin, `retry_on: 5xx,reset,connect-failure,refused-stream,gateway-error`, 5 retries"
        " to hosts not yet tried, `max_retries: 1000`, stream and per-try idle timeout"
        f" {STALL_SECONDS} s",
    )


def envoy_config(setting: Setting) -> dict[str, Any]:
    """A listener, a route with retries, and a cluster of all replicas."""
    route = {
        "cluster": "replicas",
        "timeout": "0s",
        "idle_timeout": f"{STALL_SECONDS}s",
        "retry_policy": {
            "retry_on": "5xx,reset,connect-failure,refused-stream,gateway-error",
            "num_retries": 5,
            "per_try_idle_timeout": f"{STALL_SECONDS}s",
            "retry_host_predicate": [_typed("previous_hosts", "retry.host.previous_hosts.v3")],
            "host_selection_retry_max_attempts": 5,
        },
    }
    hosts = [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}}]}]
    hosts[0]["routes"][0]["route"] = route  # type: ignore[index]
    manager = {
        "@type": _TYPE + "filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": _TYPE + "filters.http.router.v3.Router"}}
        ],
    }
    filters = [{"name": "http", "typed_config": manager}]
    listener = {
        "address": _socket(setting.port),
        "filter_chains": [{"filters": filters}],
    }
    endpoints = [{"endpoint": {"address": _socket(port)}} for port in setting.replicas]
    breaker = {"max_retries": 1000, "max_requests": 10000, "max_connections": 10000}
    cluster = {
        "name": "replicas",
        "type": "STATIC",
        "lb_policy": "ROUND_ROBIN",
        "connect_timeout": "1s",
        "circuit_breakers": {"thresholds": [breaker]},
        "load_assignment": {"cluster_name": "replicas", "endpoints": [{"lb_endpoints": endpoints}]},
    }
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}


_TYPE = "type.googleapis.com/envoy.extensions."


def _typed(name: str, kind: str) -> dict[str, Any]:
    return {
        "name": f"envoy.retry_host_predicates.{name}",
        "typed_config": {"@type": f"{_TYPE}{kind}.PreviousHostsPredicate"},
    }


def _socket(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def haproxy(program: str) -> Proxy:
    def command(setting: Setting) -> list[str]:
        path = setting.folder / "haproxy.cfg"
        path.write_text(haproxy_config(setting), encoding="utf-8")
        return ["-db", "-q", "-f", str(path)]

    return Proxy(
        "HAProxy",
        program,
        command,
        ["-v"],
        "round robin, `retries 5`, `retry-on all-retryable-errors`, `option redispatch 1`,"
        f" `option http-buffer-request`, `timeout server {STALL_SECONDS}s`",
    )


def haproxy_config(setting: Setting) -> str:
    servers = (f"  server r{port} 127.0.0.1:{port}\n" for port in setting.replicas)
    return f"""global
  nbthread 1
defaults
  mode http
  timeout connect 1s
  timeout client 30s
  timeout server {STALL_SECONDS}s
  retries 5
  option redispatch 1
  option http-buffer-request
  retry-on all-retryable-errors
frontend front
  bind 127.0.0.1:{setting.port}
  default_backend replicas
backend replicas
  balance roundrobin
{"".join(servers)}"""


def nginx(program: str) -> Proxy:
    def command(setting: Setting) -> list[str]:
        path = setting.folder / "nginx.conf"
        path.write_text(nginx_config(setting), encoding="utf-8")
        return ["-c", str(path), "-p", str(setting.folder), "-e", "stderr"]

    return Proxy(
        "nginx",
        program,
        command,
        ["-v"],
        "round robin, `proxy_next_upstream` on everything it knows, `non_idempotent` too,"
        f" `proxy_read_timeout {STALL_SECONDS}s`, `proxy_buffering off`, `max_fails=0`",
    )


def nginx_config(setting: Setting) -> str:
    servers = (f"    server 127.0.0.1:{port} max_fails=0;\n" for port in setting.replicas)
    temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    folders = (f"  {each}_temp_path {setting.folder}/{each};\n" for each in temporary)
    return f"""daemon off;
worker_processes 1;
pid {setting.folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
{"".join(folders)}  upstream replicas {{
{"".join(servers)}    keepalive 32;
  }}
  server {{
    listen 127.0.0.1:{setting.port};
    location / {{
      proxy_pass http://replicas;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_connect_timeout 1s;
      proxy_read_timeout {STALL_SECONDS}s;
      proxy_next_upstream error timeout invalid_header http_500 http_502 http_503 http_504
        http_403 http_404 http_429 non_idempotent;
    }}
  }}
}}
"""
