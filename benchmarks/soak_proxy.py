"""The proxy as it is served, telling beside it how many tasks it has.

``python -m benchmarks.soak_proxy PORT COUNT_PORT REPLICA ...``
"""

import asyncio
import sys

import uvloop

from monitor.config import MonitorConfig
from monitor.serve import serve
from retry_proxy.config import ProxyConfig

STALL_SECONDS = 1.0


async def tell_tasks(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Writes the number of tasks, without its own, to whoever connects."""
    writer.write(b"%d\n" % (len(asyncio.all_tasks()) - 1))
    await writer.drain()
    writer.close()


async def main(port: int, count_port: int, replicas: tuple[str, ...]) -> None:
    """Serves until a signal."""
    # Nothing keeps a sick replica away: each of its faults is to reach the proxy.
    proxy = ProxyConfig(
        replicas=replicas,
        max_ejected_share=0.0,
        stall_timeout_seconds=STALL_SECONDS,
        abort_limit_per_minute=1_000_000,
        retry_budget_ratio=1.0,
    )
    counting = await asyncio.start_server(tell_tasks, "127.0.0.1", count_port)
    async with counting:
        await serve(proxy, MonitorConfig(port=port, log_level="error", lame_duck_seconds=0.0))


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), tuple(sys.argv[3:])))
