"""The demo with replicas that have no model.

``python tests/fakes/demo.py REQUESTS [--keep] [PROXY FLAG ...]``
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from monitor.demo.options import DemoOptions, Launcher
from monitor.demo.run import run

FAKE_REPLICA = Path(__file__).with_name("replica.py")


class FakeLauncher(Launcher):
    """The real proxy in front of fake replicas, with the published rule: what they write is no
    language.

    Args:
        proxy_flags: added to the proxy's command line.
    """

    def __init__(self, proxy_flags: Sequence[str] = ()) -> None:
        self.proxy_flags = proxy_flags

    def replica(self, options: DemoOptions, port: int, admin_key: str) -> list[str]:
        flags = ["--port", str(port), "--admin-key", admin_key]
        return [sys.executable, str(FAKE_REPLICA), *flags]

    def proxy(self, options: DemoOptions, port: int, replicas: Sequence[str]) -> list[str]:
        usual = super().proxy(options, port, replicas)
        return [*usual, "--panel", "published", *self.proxy_flags]


if __name__ == "__main__":
    flags = sys.argv[2:]
    chosen = DemoOptions(requests=int(sys.argv[1]), concurrency=4, keep="--keep" in flags)
    sys.exit(run(chosen, FakeLauncher([flag for flag in flags if flag != "--keep"])))
