"""What can be chosen about the demo, and how its parts are started."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

REPLICAS = 2


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """See ``specwatch demo --help``.

    Attributes:
        requests: most requests per phase; the second phase sends as many as the first did.
        phase_seconds: the first phase sends nothing new after this long.
        fault_rate: share of the sick replica's generations that are damaged.
        min_accept_length: the proxy's threshold; its default if ``None``.
        model: the backend's default if ``None``.
        keep: leave everything running afterwards.
    """

    requests: int = 24
    concurrency: int = 12
    max_tokens: int = 144
    temperature: float = 0.7
    phase_seconds: float = 60.0
    fault_rate: float = 0.75
    min_accept_length: float | None = None
    model: str | None = None
    keep: bool = False


class Launcher:
    """The command lines of the demo's parts."""

    def replica(self, options: DemoOptions, port: int, admin_key: str) -> list[str]:
        """One engine replica with its fault drills unlocked."""
        arguments = [sys.executable, "-m", "inference_backend", "--host", "127.0.0.1"]
        arguments += ["--port", str(port), "--admin-key", admin_key]
        arguments += ["--threads", str(threads_each()), "--shutdown-seconds", "1"]
        return arguments if options.model is None else [*arguments, "--model", options.model]

    def proxy(self, options: DemoOptions, port: int, replicas: Sequence[str]) -> list[str]:
        """The proxy with its monitor; text samples are kept, since the demo shows some."""
        arguments = [sys.executable, "-m", "monitor", "serve", "--host", "127.0.0.1"]
        arguments += ["--port", str(port), "--capture-text", "--shutdown-grace-seconds", "1"]
        arguments += ["--lame-duck-seconds", "0"]
        for address in replicas:
            arguments += ["--replica", address]
        if options.min_accept_length is not None:
            arguments += ["--min-accept-length", str(options.min_accept_length)]
        return arguments


def threads_each() -> int:
    """The replicas share the cores evenly instead of fighting for all of them."""
    return max(1, (os.cpu_count() or 1) // REPLICAS)
