"""Everything that ``specwatch serve`` serves, in a thread, for clients that block."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
import uvloop

from monitor.config import MonitorConfig
from monitor.monitor import Monitor
from monitor.serve import compose
from retry_proxy.config import EngineName, ProxyConfig
from retry_proxy.edge import EdgeLimits, edge_protocol
from retry_proxy.fleet import Fleet
from tests.fakes.recorded import FILES
from tests.retry_proxy.fuzz.engine import counting_engine
from tests.retry_proxy.fuzz.schema import watched_routes

RECORDINGS = {
    **FILES,
    "/generate": "sglang-0.5.23-generate.sse",
    "/v1/completions": "sglang-0.5.23-completions.sse",
}


@dataclass(frozen=True, slots=True)
class Served:
    """What runs.

    Attributes:
        schema: the OpenAPI of what is there.
        reached: requests that a replica got, by path.
    """

    address: str
    schema: dict[str, Any]
    reached: Counter[str]


@contextmanager
def everything() -> Iterator[Served]:
    """Two replicas stream recordings, whatever they are asked.

    Orders can add replicas of this machine alone. The breaker is off: were it open, the requests
    would be answered 503 before anything of them was tried.
    """
    started: list[Served] = []
    reached: Counter[str] = Counter()
    is_up, is_over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with (
            counting_engine(RECORDINGS, reached) as one,
            counting_engine(RECORDINGS, reached) as two,
        ):
            options = ProxyConfig(
                replicas=(one, two),
                engine=EngineName.SGLANG,
                allow_addresses=("127.0.0.1",),
                max_ejected_share=0.0,
            )
            monitor = Monitor()
            app = compose(options, MonitorConfig(), monitor, Fleet(options, monitor))
            config = uvicorn.Config(
                app,
                http=edge_protocol(EdgeLimits()),
                ws="none",
                log_level="critical",
                timeout_keep_alive=600,  # making up requests takes long; it is no idle client
            )
            server = uvicorn.Server(config)
            listening = socket.create_server(("127.0.0.1", 0))  # clients queue until it accepts
            serving = asyncio.create_task(server.serve(sockets=[listening]))
            host, port = listening.getsockname()[:2]
            schema = app.openapi()
            schema["paths"] |= watched_routes()
            started.append(Served(f"http://{host}:{port}", schema, reached))
            is_up.set()
            await asyncio.to_thread(is_over.wait)
            server.should_exit = True
            await serving
            listening.close()

    thread = threading.Thread(target=lambda: uvloop.run(serve()))  # as it is served
    thread.start()
    try:
        assert is_up.wait(20), "the proxy did not come up"
        yield started[0]
    finally:
        is_over.set()
        thread.join(20)
