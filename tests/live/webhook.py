"""A receiver of Alertmanager's webhooks that remembers what came, and when."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    """One alert of one webhook call."""

    path: str
    at: float
    alert: dict[str, Any]


@dataclass
class Webhook:
    """Everything so far."""

    address: str = ""
    received: list[Received] = field(default_factory=list)

    def wait_for(self, name: str, seconds: float) -> Received:
        """The first firing alert of that name."""
        give_up_at = time.monotonic() + seconds
        while time.monotonic() < give_up_at:
            for one in list(self.received):
                is_it = one.alert["labels"]["alertname"] == name
                if is_it and one.alert["status"] == "firing":
                    return one
            time.sleep(0.05)
        names = sorted({one.alert["labels"]["alertname"] for one in self.received})
        raise AssertionError(f"{name} did not come within {seconds} s; came: {names}")


@contextmanager
def receiving() -> Iterator[Webhook]:
    """Listens meanwhile."""
    webhook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            for alert in body["alerts"]:
                webhook.received.append(Received(self.path, time.monotonic(), alert))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    webhook.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield webhook
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
