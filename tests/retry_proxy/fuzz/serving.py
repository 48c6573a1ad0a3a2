"""Everything that ``specwatch serve`` serves, in a thread, for clients that block."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from monitor.monitor import Monitor
from monitor.options import MonitorConfig
from monitor.serve import compose
from retry_proxy.config import EngineName, ProxyConfig
from retry_proxy.edge import EdgeLimits, edge_protocol
from retry_proxy.fleet import Fleet
from tests.fakes.recorded import FILES, recorded_engine
from tests.retry_proxy.fuzz.schema import watched_routes

RECORDINGS = {
    **FILES,
    "/generate": "sglang-0.5.23-generate.sse",
    "/v1/completions": "sglang-0.5.23-completions.sse",
}


@contextmanager
def everything() -> Iterator[tuple[str, dict[str, Any]]]:
    """An address, and the OpenAPI of what is there.

    Two replicas stream recordings, whatever they are asked. Orders can add replicas of this machine
    alone.
    """
    started: list[tuple[str, dict[str, Any]]] = []
    is_up, is_over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with recorded_engine(RECORDINGS) as one, recorded_engine(RECORDINGS) as two:
            options = ProxyConfig(
                replicas=(one, two), engine=EngineName.SGLANG, allow_addresses=("127.0.0.1",)
            )
            monitor = Monitor()
            app = compose(options, MonitorConfig(), monitor, Fleet(options, monitor))
            config = uvicorn.Config(
                app, http=edge_protocol(EdgeLimits()), ws="none", log_level="critical"
            )
            server = uvicorn.Server(config)
            listening = socket.create_server(("127.0.0.1", 0))  # clients queue until it accepts
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            host, port = listening.getsockname()[:2]
            schema = app.openapi()
            schema["paths"] |= watched_routes()
            started.append((f"http://{host}:{port}", schema))
            is_up.set()
            await asyncio.to_thread(is_over.wait)
            server.should_exit = True
            await serving
            listening.close()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert is_up.wait(20), "the proxy did not come up"
        yield started[0]
    finally:
        is_over.set()
        thread.join(20)
