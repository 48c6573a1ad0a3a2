"""Puts fleet, proxy and monitor together and runs them until a signal says stop."""

import asyncio
import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

import uvicorn
import uvloop

from monitor.admin_api import build_admin_router
from monitor.api import build_router
from monitor.errors import InvalidOptions, JudgeUnavailable
from monitor.judge.judge import Judge, JudgeOptions
from monitor.judge.process import JudgeProcess, worker_command
from monitor.learned import read_learned
from monitor.monitor import Monitor
from monitor.options import MonitorConfig
from monitor.ports import Store
from monitor.store.exchange import RedisExchange
from monitor.store.memory import MemoryStore
from monitor.store.redis import RedisStore, connect
from retry_proxy.app import build_app
from retry_proxy.config import ProxyConfig
from retry_proxy.edge import EdgeLimits, edge_protocol
from retry_proxy.errors import InvalidConfig
from retry_proxy.fleet import Fleet

logger = logging.getLogger("specwatch")


def build_store(config: MonitorConfig) -> Store:
    """In memory, or in Redis where an address is given.

    Raises:
        InvalidOptions: not a Redis address. A server that is away is no error: it may come back.
    """
    if config.redis is None:
        return MemoryStore(config.keep_incidents)
    try:
        return RedisStore(connect(config.redis), config.keep_incidents)
    except ValueError as error:
        raise InvalidOptions(f"redis: {error}") from error


def build_judge(config: MonitorConfig, monitor: Monitor) -> Judge | None:
    """The judge, if it is switched on.

    Raises:
        JudgeUnavailable: what it needs is not installed.
    """
    if not config.judge:
        return None
    options = JudgeOptions(config.judge_sample_rate, config.judge_per_minute)
    process = JudgeProcess(worker_command(config.judge_model))
    judge = Judge(process, monitor.take_opinion, options)
    monitor.watch_judge(judge)
    return judge


def run(proxy: ProxyConfig, config: MonitorConfig) -> None:
    """Serve until SIGTERM or SIGINT; running answers then get the grace time to end."""
    logging.basicConfig(
        level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        uvloop.run(_serve(proxy, config))
    except (JudgeUnavailable, InvalidOptions, InvalidConfig) as error:
        raise SystemExit(f"specwatch: {error}") from error


async def _serve(proxy: ProxyConfig, config: MonitorConfig) -> None:
    learned = read_learned(config)
    monitor = Monitor(build_store(config))
    fleet = Fleet(proxy, monitor)
    monitor.watch_detectors(fleet.detector_errors)
    judge = build_judge(config, monitor)
    routers = [build_router(monitor, fleet), build_admin_router(fleet, config.admin_key)]
    app = build_app(
        proxy, sink=monitor, fleet=fleet, routers=routers, text_sink=judge, learned=learned
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=config.host,
            port=config.port,
            http=edge_protocol(EdgeLimits()),
            ws="none",
            log_level=config.log_level,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=config.shutdown_grace_seconds,
        )
    )
    logger.info("watching %s", ", ".join(proxy.replicas))
    exchange = None if config.redis is None else RedisExchange(connect(config.redis), fleet)
    async with (
        monitor.running(),
        nullcontext() if judge is None else judge.running(),
        nullcontext() if exchange is None else exchange.running(),
    ):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, fleet.reload)
        with stopping_on_signal(server):
            await server.serve()


@contextmanager
def stopping_on_signal(server: uvicorn.Server) -> Iterator[None]:
    """SIGTERM and SIGINT stop ``server`` and nothing else.

    uvicorn sends itself the signal again once it has stopped, which with the handlers that were
    there before would end the process at once, before the store has written what waits.
    """

    def stop(_signal_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
